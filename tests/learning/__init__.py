"""What records teach."""
