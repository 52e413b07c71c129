"""`python -m api`: the API server alone, with the settings of the environment."""

from api.server import main

if __name__ == "__main__":
    main()
