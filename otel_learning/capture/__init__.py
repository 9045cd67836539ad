"""OpenTelemetry's side: what is registered in an application, and how it reaches the spool."""
