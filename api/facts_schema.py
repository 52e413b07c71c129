"""What JSON Schema says of commands and facts beyond what their Python types can."""

from typing import Any

from api import sync
from domain import facts

EXTRA: tuple[Any, ...] = (sync.PushItem, *dict.fromkeys(facts.PAYLOADS.values()))
"""Shapes that are decoded from raw JSON, so that no body names them."""


def refine(components: dict[str, Any]) -> None:
    """Replace the places where types say only "raw JSON"."""
    components["PushBody"]["properties"]["events"]["items"] = {"$ref": "#/components/schemas/PushItem"}
    payloads = [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in dict.fromkeys(facts.PAYLOADS.values())]
    components["PushItem"]["properties"]["event_data"] = {"anyOf": payloads}
