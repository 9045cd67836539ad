"""The command line: `otel-learning`. One module per family of commands."""
