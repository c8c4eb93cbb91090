"""Handing a mail to the SMTP server."""

from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from notification.model.retries import AttemptOutcome
from notification.model.templates import html_mail

# What no later attempt will change; the server's other refusals (a full mailbox, greylisting, a login) may pass.
_PERMANENT_CODES = frozenset({550, 551, 553, 554})


@dataclass(frozen=True)
class Mail:
    """`id` makes the Message-ID, the same at every attempt."""

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
    """Raises ValueError when an address is none."""
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
    message.add_alternative(html_mail(mail.subject, mail.body, mail.language), subtype="html")
    return message


class MailSender:
    """Sends mails by one SMTP server."""

    def __init__(self, server: MailServer) -> None:
        self._server = server

    async def send(self, mail: Mail, *, now: datetime) -> AttemptOutcome:
        """One attempt. `now` is the real time."""
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
