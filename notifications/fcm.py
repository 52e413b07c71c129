"""Pushes through Firebase Cloud Messaging (HTTP v1): one call an attempt, and the outbox does the waiting."""

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import firebase_admin
import google.auth.exceptions
import requests
from firebase_admin import exceptions, messaging
from google.oauth2 import service_account
from requests.adapters import HTTPAdapter

from notifications import service_account as account_file
from notifications.channel import (
    TIMEOUT_SECONDS,
    ChannelDown,
    Outcome,
    Permanent,
    Sent,
    SettingError,
    TargetGone,
    Transient,
    Unknown,
)
from notifications.deadline import within
from notifications.http import base_url, judge, told
from notifications.message import Message, PushTarget, Registration, fingerprint

GOOGLE: Final = "https://fcm.googleapis.com"
LIFETIME: Final = timedelta(hours=12)
"""How long Google keeps a push for a device that is off: a reminder of yesterday morning helps nobody."""
_LONGEST_COLLAPSE_KEY: Final = 64
"""Bytes that Apple takes as apns-collapse-id."""
_SCOPES: Final = ("https://www.googleapis.com/auth/firebase.messaging",)


class _Credentials(service_account.Credentials):
    """A service account that asks Google for tokens, and nobody for anything else."""

    def _is_regional_access_boundary_lookup_required(self) -> bool:
        return False  # google-auth would look something up in the background, at a host that may not be reachable


class _Adapter(HTTPAdapter):
    """Makes none of firebase-admin's own retries; asks `endpoint` in place of Google where there is one."""

    def __init__(self, endpoint: str | None) -> None:
        super().__init__(max_retries=0)
        self._endpoint = endpoint

    def send(self, request: Any, *arguments: Any, **options: Any) -> requests.Response:
        if self._endpoint is not None:
            request.url = request.url.replace(GOOGLE, self._endpoint, 1)
        return super().send(request, *arguments, **options)


class FcmPush:
    """Hands each push to FCM. `credentials` is a service account's JSON file; `endpoint` stands in Google's place for tests.

    Raises SettingError where one of them cannot be used.
    """

    name = "fcm"
    kind: Literal["push"] = "push"
    local = False

    def __init__(self, credentials: Path, *, endpoint: str | None = None, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._credentials = _read(credentials)
        options = {"projectId": self._credentials.project_id, "httpTimeout": timeout_seconds}
        endpoint = base_url("FCM_ENDPOINT", endpoint) if endpoint else None
        self._app = firebase_admin.initialize_app(self._credentials, options, name=f"debitum-{uuid.uuid4()}")
        session = messaging._get_messaging_service(self._app)._client.session
        session.mount(GOOGLE, _Adapter(endpoint))
        session._max_refresh_attempts = 0  # a 401 is answered here: the next attempt takes a new token

    def send(self, message: Message, *, now: datetime) -> Outcome:
        """Hand in one push; see Channel."""
        if not isinstance(message.to, PushTarget) or message.to.registration is None:
            return Permanent("the target is not a device with a registration")
        try:
            push = _push(message, message.to.registration, now)
            f"{push}{message.subject}{message.text}".encode()  # str() lets the library look at every member
        except ValueError as error:  # UnicodeEncodeError is one
            return Permanent(f"not a well-formed push ({type(error).__name__})")
        try:
            name = within(self._timeout_seconds, lambda: messaging.send(push, app=self._app))
        except TimeoutError:
            return Unknown(f"no end after {self._timeout_seconds:g} s")
        except exceptions.FirebaseError as error:
            return self._judge(error, now)
        except google.auth.exceptions.RefreshError as error:
            return Transient(_short(error)) if error.retryable else ChannelDown(_short(error))
        except google.auth.exceptions.TransportError as error:
            return Transient(_short(error))
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # an answer that the library cannot read
            return Unknown(f"an answer that is none ({type(error).__name__})")
        return Sent(f"200 {name}")

    def close(self) -> None:
        """Give back connections; may be called twice."""
        app, self._app = self._app, None
        if app is not None:
            firebase_admin.delete_app(app)

    def _judge(self, error: exceptions.FirebaseError, now: datetime) -> Outcome:
        response = error.http_response
        if response is None:
            return _broken(error)
        detail = told(response.status_code, str(error))
        if isinstance(error, messaging.UnregisteredError):
            return TargetGone(detail)
        if response.status_code == 400 and _blames_the_registration(response):
            return TargetGone(detail)
        if isinstance(error, messaging.SenderIdMismatchError):
            return Permanent(detail)  # the registration belongs to another project: this app's, not ours
        if response.status_code == 404:
            return Permanent(detail)
        if response.status_code == 401:
            self._credentials.token = None
        return judge(response.status_code, detail, response.headers, now=now)


def _read(file: Path) -> _Credentials:
    account = account_file.read(file)
    try:  # Google's library leaves it untyped
        return _Credentials.from_service_account_info(account, scopes=_SCOPES)  # type: ignore[no-any-return, no-untyped-call]
    except (ValueError, KeyError, TypeError) as error:  # what it says may hold the key
        raise SettingError(f"FCM_CREDENTIALS: {file} is not the JSON file of a service account") from error


def _push(message: Message, registration: Registration, now: datetime) -> messaging.Message:
    collapse_key = (message.collapse_key or fingerprint(message))[:_LONGEST_COLLAPSE_KEY]
    data = {"key": message.key, "kind": message.kind} | ({"link": message.link} if message.link else {})
    push = messaging.Message(
        data=data,
        notification=messaging.Notification(title=message.subject, body=message.text),
        android=messaging.AndroidConfig(collapse_key=collapse_key, ttl=LIFETIME, priority="high"),
        apns=messaging.APNSConfig(
            headers={
                "apns-collapse-id": collapse_key,
                "apns-expiration": str(int((now + LIFETIME).timestamp())),  # a row that was revived may be older than that
            },
            payload=messaging.APNSPayload(aps=messaging.Aps(sound="default")),
        ),
        fid=registration.value if registration.kind == "fid" else None,
    )
    if registration.kind == "token":
        push.token = registration.value  # as an argument it is deprecated, and still what apps of today have
    return push


def _broken(error: exceptions.FirebaseError) -> Outcome:
    """No answer came. Whoever was never reached has nothing; of whoever was, nobody knows."""
    cause = error.cause
    if isinstance(cause, requests.exceptions.ConnectTimeout):
        return Transient("no connection in time")
    if isinstance(cause, requests.exceptions.ConnectionError) and "NewConnectionError" in repr(cause):
        return Transient("no connection")
    return Unknown(f"{type(cause or error).__name__}: the connection broke")


def _blames_the_registration(response: requests.Response) -> bool:
    """Whether a 400 says that there is no such registration; one that lists fields says that our request is wrong."""
    try:
        details = response.json()["error"]["details"]
        kinds = {detail.get("@type", "").rpartition(".")[2]: detail for detail in details}
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return "BadRequest" not in kinds and kinds.get("FcmError", {}).get("errorCode") == "INVALID_ARGUMENT"


def _short(error: Exception) -> str:
    """What kind of failure it was; the words of the token's server may hold what we sent to it."""
    return f"{type(error).__name__}: no access token"
