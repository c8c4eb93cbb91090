"""Sends mails by SMTP."""

from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from notification.model.retries import AttemptOutcome
from notification.model.templates import render_html_mail

# Refusals that no later attempt changes; others may pass (a full mailbox, greylisting, a login).
_PERMANENT_CODES = frozenset({550, 551, 553, 554})


@dataclass(frozen=True)
class Mail:
    """A mail. `id` is the local part of its Message-ID, the same at every attempt."""

    id: str
    to: str
    name: str
    subject: str
    body: str
    language: str


@dataclass(frozen=True)
class MailServer:
    """Address, login and sender for SMTP. `security`: `starttls`, `tls` or `none`."""

    host: str
    port: int
    security: str
    username: str | None
    password: str | None
    sender: str
    timeout_seconds: float


def build_message(mail: Mail, server: MailServer, now: datetime) -> EmailMessage:
    """The message with a plain and an HTML part. Raises ValueError for an invalid address."""
    name, _, address = server.sender.rpartition("<")
    sender = address.strip("> ")
    message = EmailMessage()
    try:
        message["From"] = Address(name.strip(), addr_spec=sender)
        message["To"] = Address(mail.name, addr_spec=mail.to)
    except (HeaderParseError, IndexError) as error:
        raise ValueError(f"not a mail address: {error}") from error
    message["Subject"] = mail.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{mail.id}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message["Content-Language"] = mail.language
    message.set_content(mail.body)
    message.add_alternative(render_html_mail(mail.subject, mail.body, mail.language), subtype="html")
    return message


class MailSender:
    """Sends mails by one SMTP server."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def send(self, mail: Mail, *, now: datetime) -> AttemptOutcome:
        """Attempts to send a mail once. `now` is the wall clock's time. Does not raise for what the server answers."""
        server = self._server
        try:
            message = build_message(mail, server, now)
        except ValueError as error:
            return AttemptOutcome("failed", str(error)[:300])
        try:
            await aiosmtplib.send(
                message,
                hostname=server.host,
                port=server.port,
                username=server.username,
                password=server.password,
                use_tls=server.security == "tls",
                start_tls=server.security == "starttls",
                timeout=server.timeout_seconds,
            )
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _classify_refusal(error.recipients[0].code, error.recipients[0].message)
        except aiosmtplib.SMTPResponseException as error:
            return _classify_refusal(error.code, error.message)
        except (aiosmtplib.SMTPException, OSError) as error:
            return AttemptOutcome("retry", f"{type(error).__name__}: {error}"[:300])
        return AttemptOutcome("delivered", status=250)


def _classify_refusal(code: int, message: str) -> AttemptOutcome:
    return AttemptOutcome("failed" if code in _PERMANENT_CODES else "retry", f"{code} {message}"[:300], code)
