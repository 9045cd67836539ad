"""The pages, one module each: a database and what was asked for in, a `Page` out."""
