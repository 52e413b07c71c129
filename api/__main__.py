"""`python -m api`: the API server alone, with the settings of the environment."""

import telemetry  # noqa: F401 (before structlog is imported)
from api.server import main

if __name__ == "__main__":
    main()
