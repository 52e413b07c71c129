"""The scripts of the cases, by what they are about."""

from tests.conformance.scene import CASES
from tests.conformance.scripts import answers, conflicts, network, rejections, resets, together, undoing, writing

__all__ = ["CASES", "answers", "conflicts", "network", "rejections", "resets", "together", "undoing", "writing"]
