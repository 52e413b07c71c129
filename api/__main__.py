"""`python -m api`: the API server alone, with the settings of the environment."""

import gc

import telemetry  # noqa: F401 (before structlog is imported)

if __name__ == "__main__":
    gc.disable()  # until all is loaded: to look through it again and again takes a fifth of loading it

    from api.server import main

    main()
