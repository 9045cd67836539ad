"""What one span or log event tells."""
