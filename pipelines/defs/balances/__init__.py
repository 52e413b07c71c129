"""What every contact owes or is owed, kept up to date in Postgres."""
