"""What can be wrong with a backup, in sentences for whoever has to do something about it."""


class BackupError(Exception):
    """A backup cannot be made, opened or put back; the text says why and what to do, and holds no secret."""


class RefusedError(BackupError):
    """Postgres refused what a dump says: the text is for a terminal alone, since it may hold values of a row."""


class DamagedError(BackupError):
    """The file is not what was written: it was cut off or changed."""
