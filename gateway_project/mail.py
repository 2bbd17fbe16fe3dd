"""Mail that the gateway sends. Where none is configured (`EMAIL_URL`), nothing is."""

from collections.abc import Sequence
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import EmailMessage

NOT_CONFIGURED = "no mail is configured on this gateway (EMAIL_URL)"


def mail_is_configured() -> bool:
    return bool(settings.GATEWAY_MAIL)


def send_mail(subject: str, text: str, to: Sequence[str]) -> str:
    """Sends plain text; a sentence about what went wrong, or ""."""
    if not mail_is_configured():
        return NOT_CONFIGURED
    try:
        EmailMessage(" ".join(subject.split()), text, to=list(to)).send()
    except (SMTPException, OSError) as error:
        return f"the mail server refused: {error}"[:300]
    return ""
