"""Spans and log events -> observations. Pure; what keys mean is data in `profiles/`."""
