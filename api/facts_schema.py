"""What JSON Schema says of commands and facts beyond what their Python types can."""

from typing import Any

from api import import_json, sync
from domain import facts

EXTRA: tuple[Any, ...] = (sync.PushItem, import_json.File, *dict.fromkeys(facts.PAYLOADS.values()))
"""Shapes that are decoded from raw JSON, so that no body names them."""

STREAMED: dict[str, Any] = {import_json.MEDIA_TYPE: {"$ref": "#/components/schemas/File"}}
"""The schemas of bodies that handlers read by themselves, by media type."""
_MONEY: dict[str, Any] = {
    "title": "Money",
    "properties": {
        "type": {"const": "money"},
        "currency": {"type": "string"},
        "item": {"type": "null"},
        "returned_at": {"type": "null"},
    },
    "required": ["amount"],
}
_THING: dict[str, Any] = {
    "title": "A thing",
    "properties": {
        "type": {"const": "item"},
        "item": {"type": "string"},
        "currency": {"type": "null"},
        "repays": {"type": "null"},
    },
    "required": ["type", "item"],
}


def refine(components: dict[str, Any]) -> None:
    """Replace the places where types say only "raw JSON"."""
    components["PushBody"]["properties"]["events"]["items"] = {"$ref": "#/components/schemas/PushItem"}
    components["File"]["properties"]["events"]["items"] = {"$ref": "#/components/schemas/WireFact"}
    payloads = [{"$ref": f"#/components/schemas/{shape.__name__}"} for shape in dict.fromkeys(facts.PAYLOADS.values())]
    for created in ("TransactionCreate", "TransactionCreated"):
        components[created]["anyOf"] = [_MONEY, _THING]
    components["PushItem"]["properties"]["event_data"] = {"anyOf": payloads}
