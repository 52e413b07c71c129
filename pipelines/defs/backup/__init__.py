"""Every night a backup, and once a month the proof that the last one can be put back."""
