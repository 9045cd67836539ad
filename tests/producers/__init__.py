"""What the recorded spans of real producers come to, measured against what really happened."""
