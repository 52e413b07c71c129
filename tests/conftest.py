"""Fixtures for all tests: plugins by concern; and how hard the property tests try."""

import os

from hypothesis import settings

pytest_plugins = ["tests.fixtures.database", "tests.fixtures.api"]

# The same examples every time: a change lands or not for what is in it, never for the dice. `make fuzz` throws new ones.
settings.register_profile("short", derandomize=True, deadline=None, database=None)
settings.register_profile("fuzz", max_examples=int(os.environ.get("FUZZ_EXAMPLES", "2000")), deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))
