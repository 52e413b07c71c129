"""What is in the outbox goes out."""
