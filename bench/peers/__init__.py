"""Peers: other programs that keep such books, or such logs. Each module says what its peer does more or less than ours."""
