"""Where links lead."""

import uuid

import pytest

from notifications.links import Links, read_app_link

DEBT, CONTACT = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.mark.parametrize(
    ("template", "link"),
    [
        ("", None),
        ("https://app.example/debts/{transaction_id}", f"https://app.example/debts/{DEBT}"),
        ("debitum://{contact_id}/{transaction_id}?from=mail", f"debitum://{CONTACT}/{DEBT}?from=mail"),
    ],
)
def test_a_debt_is_opened_as_the_setting_says(template: str, link: str | None) -> None:
    assert Links("https://debitum.example", read_app_link(template)).debt(DEBT, CONTACT) == link


@pytest.mark.parametrize(
    "template",
    [
        "app.example/{transaction_id}",
        "https://app.example/",
        "https://app.example/{contact_id}",
        "https://app.example/{transaction_id}/{name}",
        "https://app.example/{transaction_id}{",
        "https://app.example/{transaction_id} x",
        "https://app.example/{transaction_id}\n",
        "javascript://x/{transaction_id}",
    ],
)
def test_a_template_that_leads_nowhere_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"is not a link|may name"):
        read_app_link(template)


def test_pages_are_ours() -> None:
    assert Links("https://debitum.example").page("verify", "a-b_c") == "https://debitum.example/verify?token=a-b_c"
