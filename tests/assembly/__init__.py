"""Which observations are one execution, and what they say together."""
