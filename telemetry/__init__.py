"""What every process of ours writes about itself: one format for our lines and for the libraries', and no values in it."""

import sys
from importlib import import_module

if "rich" not in sys.modules:
    # structlog takes rich along where it is installed, as it is beside Dagster: 4 MiB of each process, for drawings of exceptions
    # with the values of all variables, which nobody may see. For Python, None is a module that is not installed.
    sys.modules["rich"] = None  # type: ignore[assignment]
    import_module("structlog")
    del sys.modules["rich"]
