"""What the page finds on the device is what the server finds, whatever the letters are."""

import re
import sys
import unicodedata

from playwright.async_api import Browser

from domain import words
from tests.browser.conftest import ONE_LOOP, visiting
from tests.domain.test_words import SAME
from tests.fixtures.api import Server

pytestmark = ONE_LOOP

OTHERS = [
    ("O'Neil's e-mail", "oneil email"),
    ("O’Neil", "neil"),
    ("Straßenbahn ticket, Æbleskiver", "strassenb aebles"),
    ("東京 tower", "京 tow"),
    ("がっこう", "か"),
    ("हिन्दी", "हन"),
    ("Ann Ann", "ann ann ann ann ann ann ann ann ann ann ann ann ann ann ann ann bo"),
    ("a b c d e f g h i j k l m n o p", "a b c d e f g h i j k l m n o p q"),
    ("x" * 100, "x" * 90),
    ("x" * 60, "x" * 65),
    ("50% off_now", "off now 50"),
    ("anything", "…!?"),
]

FOUND = """async (pairs) => {
    const { Book } = await import("/app/ui/model.js");
    return pairs.map(([name, asked]) => new Book([[{ kind: "contact", id: "ana" }, { name }]]).search(asked).length > 0);
}"""


def found(stored: str, asked: str) -> bool:
    """Whether the server finds it (storage.search)."""
    there = re.findall(r"'([^']+)'", words.vector({"A": stored}))
    wanted = words.query(asked)
    return bool(wanted) and all(any(word.startswith(one) for word in there) for one in wanted)


async def test_the_page_finds_what_the_server_finds(api: Server, chromium: Browser) -> None:
    """What Unicode has below U+3000, where all letters with accents are, and of the rest a part."""
    pairs = [*OTHERS, *SAME, *((plain, written) for written, plain in SAME)]
    for sign in map(chr, (*range(1, 0x3000), *range(0x3000, 0xD800, 53), *range(0xE000, sys.maxunicode, 211))):
        if unicodedata.category(sign) != "Cn":  # a browser may know younger letters
            pairs += [(f"x{sign}y", f"x{words.folded(sign)}y"), (words.folded(sign), sign), (f"x{sign}\u0301", "x")]
    async with visiting(chromium, api.url) as visitor:
        finds = await visitor.page.evaluate(FOUND, pairs)
    assert [pair for pair, there in zip(pairs, finds, strict=True) if there != found(*pair)] == []
