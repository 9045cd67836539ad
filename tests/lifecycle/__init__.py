"""A store over the years: copies, erasure, archives, repair."""
