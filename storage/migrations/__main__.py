"""For developers: `python -m storage.migrations check` (is a revision missing?) or `revision MESSAGE` (write it)."""

import sys
import tempfile
from pathlib import Path

from alembic import command

from storage import embedded, engine, migrations


def main(arguments: list[str]) -> None:
    """Run against a scratch server that holds what the revisions make of an empty database."""
    with tempfile.TemporaryDirectory() as folder:
        address = embedded.start(Path(folder) / "data")
        try:
            with engine.sync_engine(address.url, "debitum-migrations").connect() as connection:
                migrations.migrate(connection)
                config = migrations.config()
                config.attributes["connection"] = connection
                match arguments:
                    case ["check"]:
                        command.check(config)
                    case ["revision", message]:
                        command.revision(config, message, autogenerate=True)
                    case _:
                        sys.exit(__doc__)
        finally:
            embedded.stop(Path(folder) / "data", mode="immediate")


main(sys.argv[1:])
