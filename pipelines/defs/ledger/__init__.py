"""Where everything begins: what people recorded, as Postgres holds it."""
