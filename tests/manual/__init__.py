"""What the documents tell people to type, typed: `make docs-test`."""
