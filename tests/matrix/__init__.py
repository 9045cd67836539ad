"""The same tests under other interpreters and other releases of what the package stands on."""
