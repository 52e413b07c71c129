"""Daily snapshots for analysts: Parquet files, a folder a table and a UTC day, and questions to them."""
