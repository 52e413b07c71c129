"""The client of the page keeps to docs/conformance, in a real browser with its real store."""

import json
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import ONE_LOOP, visiting
from tests.conformance import files
from tests.fixtures.api import Server

pytestmark = ONE_LOOP

HARNESS = (Path(__file__).parent / "conformance.js").read_text()


@pytest.mark.parametrize("restarts", [False, True], ids=["one page", "another page after each step"])
async def test_every_case(api: Server, chromium: Browser, restarts: bool) -> None:
    cases = sorted(files.CASES.iterdir())
    assert len(cases) > 40
    async with visiting(chromium, api.url) as visitor:
        for path in cases:
            text = path.read_text()
            ends = await visitor.page.evaluate(HARNESS, {"text": text, "restarts": restarts})
            assert ends == json.loads(text)["end"], path.stem
