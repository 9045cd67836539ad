"""The only place with DuckDB: the spool, the drain, the schema and the database."""
