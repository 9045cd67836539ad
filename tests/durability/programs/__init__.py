"""Programs that the tests start, kill and look at."""
