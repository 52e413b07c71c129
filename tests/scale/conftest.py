"""What is here needs programs that `make scale` installs: nobody else collects it."""

import os

collect_ignore_glob = [] if os.environ.get("SCALE") else ["test_*.py"]
