"""The real client and the real write path in a world that a seed decides: network, clocks, ids, crashes, restores."""
