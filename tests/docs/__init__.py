"""Tests that README, docs and reference pages are true."""
