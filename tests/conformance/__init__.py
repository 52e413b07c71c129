"""The conformance cases of docs/conformance: scripts that write them, a replay that holds the reference client to them."""
