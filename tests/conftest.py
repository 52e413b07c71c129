"""Fixtures for all tests: plugins by concern."""

pytest_plugins = ["tests.fixtures.database", "tests.fixtures.api"]
