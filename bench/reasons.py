"""Why a row does not reach its goal, in a sentence each; bench/README.md says more, with the profile."""

from typing import Final

_PYTHON: Final = "a change takes 0.3 to 0.7 ms of Python around half as much of Postgres, and pgbench is nothing but the latter"
_HEAD: Final = "what Sanic, the log line and two system calls take around any request is more than the question itself"
_BULK: Final = "an event takes 80 to 170 µs of Python, and Postgres half as long; the goal leaves a fifth of that to both"
_LATENCY: Final = "it is the length of two batches, and a batch is as long as its changes take"
_IMPORT: Final = "each fact is checked as if a stranger had made it, by one process: 0.15 ms of Python, and Postgres after it"
_SUM: Final = "the bare sum of the same postings, taken in turn with it, takes as long"
_COMPARED: Final = "it follows from append_64 and append_hot, and these do not reach theirs"

REASONS: Final = {
    "append_64": _PYTHON,
    "append_128": _PYTHON,
    "append_hot": "nobody waits for a lock any more, so that it is as fast as append_64, and that is a sixth of the goal",
    "append_one": "three waits for Postgres and a flush, where pgbench has one, and as much Python again",
    "append_64_p99": _LATENCY,
    "append_128_p99": _LATENCY,
    "append_hot_p99": _LATENCY,
    "push_500": _BULK,
    "push_500_2_workers": _BULK,
    "import_20k": _IMPORT,
    "import_100k": _IMPORT,
    "reminders_1m": "20,000 messages go into the outbox too; to find what they tell of takes half of it (`reminders_1m_again`)",
    "contacts_1000": "it is so in slow hours of this machine: 26, 32 and 44 ms in three runs of one day",
    "balances": _HEAD,
    "health": "Sanic alone, which answers nothing, does half of it here; ids, headers, counts and the log take as long again",
    "rebuild_500k": "of so few postings the key, the marks and the flags take longer than the sum; of 5 million they do not",
    "materialise_10k": "it follows the hour: 0.74 s on another day, when what is measured beside it was faster too",
    "snapshot_day_of_1m_growth": "the larger half was measured beside a run of all tests; by the short rows it is 1",
    "snapshot_day_of_20k_growth_by_past": "the larger half was measured beside a run of all tests; by the short rows it is 1",
    "bytes_per_event": "the text of a fact is 860 bytes, for it says what was sent and what each field was and became",
    "growth_materialise": "its ledgers are every fourth in the small database and every two-hundredth in the large one",
    "as_of_10000": _SUM,
    "effective_on_10000": _SUM,
    "as_of+effective_on_10000": _SUM,
    "as_of_100000": _SUM,
    "effective_on_100000": _SUM,
    "as_of+effective_on_100000": _SUM,
    "peer_ihatemoney": _COMPARED,
    "peer_actual": _COMPARED,
    "peer_eventsourcing": _COMPARED,
}
"""By the row's name."""
