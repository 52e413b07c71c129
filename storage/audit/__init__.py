"""Self-audit: a copy of the log in Parquet, replayed by DuckDB, held against everything that Postgres says follows from it."""
