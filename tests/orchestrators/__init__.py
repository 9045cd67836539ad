"""Unmodified orchestrators, switched on by their environment alone."""
