"""The offline demo: an orchestrator that knows nothing of this package, and what it left behind."""
