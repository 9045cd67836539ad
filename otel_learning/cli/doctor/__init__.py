"""`doctor`: is it wired, do spans arrive, what is mapped, what was lost, what waits."""
