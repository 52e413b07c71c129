"""What is promised while processes, networks and backups fail."""
