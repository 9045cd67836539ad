"""What the store holds, as typed records and as views."""
