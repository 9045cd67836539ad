"""How the package is put together."""
