"""One process that receives telemetry, gives advice and shows what was learned."""
