"""What is wrong with the settings of mails and pushes, for a start to tell. `debitum mail test` tries them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

NAMES: Final = (
    *("MAIL_FROM", "OPERATOR_EMAIL", "SMTP_URL", "SENDGRID_API_KEY", "SENDGRID_HOST", "FCM_CREDENTIALS", "FCM_ENDPOINT"),
)


def wrong(values: Mapping[str, str]) -> Iterator[str]:
    """Of those that are set, what cannot be used: a line for each, which begins with its name."""
    given = {name: value for name in NAMES if (value := values.get(name))}
    if not given:
        return
    from notifications import channel, http, mime, service_account, smtp  # only who sends pays for loading it here

    judges: dict[str, Callable[[str, str], object]] = {
        "MAIL_FROM": mime.mailbox,
        "OPERATOR_EMAIL": mime.mailbox,
        "SMTP_URL": lambda _, value: smtp.parse_url(value),
        "SENDGRID_API_KEY": http.api_key,
        "SENDGRID_HOST": http.base_url,
        "FCM_CREDENTIALS": lambda _, value: service_account.read(Path(value)),
        "FCM_ENDPOINT": http.base_url,
    }
    for name, value in given.items():
        try:
            judges[name](name, value)
        except channel.SettingError as error:
            yield str(error)
