"""What is due goes into the outbox."""
