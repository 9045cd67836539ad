"""Programs that tests here start, to be killed."""
