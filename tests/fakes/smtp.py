"""SMTP servers on loopback: one that works and can be told to fail, one that says whatever a test wants."""

import asyncio
import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HANG, DROP = "hang", "drop"
"""In place of a reply: none at all, or the end of the connection."""


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate; `file` holds it and its key (PEM)."""

    file: Path

    def context(self) -> ssl.SSLContext:
        """TLS for a server that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        return context


def make_certificate(folder: Path, host: str = "127.0.0.1") -> Certificate:
    """A certificate of the address `host`, valid today, under `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "debitum test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "server.pem"
    file.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    return Certificate(file)


@dataclass
class FakeSmtp:
    """A server that keeps what it is given. `replies` maps MAIL, RCPT, DATA or AUTH to what it says instead of yes."""

    security: Literal["none", "starttls", "tls"] = "none"
    certificate: Certificate | None = None
    users: dict[str, str] = field(default_factory=dict)
    replies: dict[str, str] = field(default_factory=dict)
    smtputf8: bool = True
    mails: list[Envelope] = field(default_factory=list)
    logins: list[tuple[str, bool]] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake smtp")
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> asyncio.Server:
        tls = self.certificate.context() if self.certificate is not None and self.security == "tls" else None
        return await self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=tls)

    def _protocol(self) -> SMTP:
        self.connections += 1
        starttls = self.certificate.context() if self.certificate is not None and self.security == "starttls" else None
        return SMTP(
            self,
            hostname="fake.test",
            ident="fake",
            loop=self._loop,
            tls_context=starttls,
            require_starttls=starttls is not None,
            enable_SMTPUTF8=self.smtputf8,
            authenticator=self._authenticate if self.users else None,
            auth_required=False,
            auth_require_tls=False,
        )

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        known = self.users.get(data.login.decode()) == data.password.decode()
        self.logins.append((mechanism, known))
        return AuthResult(success=known and "AUTH" not in self.replies, handled=False, message=self.replies.get("AUTH"))

    async def handle_MAIL(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        if self.users and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return await self._reply("MAIL", server)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        envelope.rcpt_tos.append(address)
        return await self._reply("RCPT", server)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        reply = await self._reply("DATA", server)
        if reply.startswith("250"):
            self.mails.append(envelope)
        return reply

    async def _reply(self, command: str, server: SMTP) -> str:
        reply = self.replies.get(command, "250 OK queued as 4711")
        if reply == HANG:
            await asyncio.Event().wait()
        if reply == DROP:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            raise ConnectionResetError
        return reply


@dataclass
class RawServer:
    """Accepts one connection and hands it to `talk`, in a thread of its own."""

    talk: Callable[[socket.socket], None]
    port: int = 0

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="raw server")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, contextlib.suppress(OSError):  # the client has gone, which is what some tests are about
            self.talk(connection)


def script(*replies: str) -> Callable[[socket.socket], None]:
    """Says the first reply at once and one more after each line that comes in; after DATA's 354 it waits for the dot."""

    def talk(connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        with reader:
            for position, reply in enumerate(replies):
                if position:
                    line = reader.readline()
                    while replies[position - 1].startswith("354") and line not in (b".\r\n", b""):
                        line = reader.readline()
                connection.sendall(reply.encode() + b"\r\n")
            reader.read()

    return talk
