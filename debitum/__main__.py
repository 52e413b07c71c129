"""`python -m debitum` is the same as `debitum`."""

import sys

from debitum import cli

if __name__ == "__main__":
    sys.exit(cli.program())
