"""Postgres and files: tables, migrations, the event log, projections, outbox, the embedded server, snapshots."""
