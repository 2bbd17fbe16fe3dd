"""Mail that the product sends. Where none is configured (`EMAIL_URL`), there are links only."""

from smtplib import SMTPException

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from accounting.audit.changes import Actor, changing
from accounting.invitations import Terms, invite, withdraw_invitation
from accounting.limits.asking import Party
from accounting.models import Invitation, Team
from gateway_project.crypto import Secret
from gateway_project.telemetry import logger

log = logger(__name__)


def may_mail() -> bool:
    """Whether mail is configured."""
    return bool(settings.GATEWAY_MAIL)


def make_invitation(
    actor: Actor, party: Party, team: Team, terms: Terms, address: str
) -> tuple[Invitation, Secret | None]:
    """A new invitation, and its link to show once; mailed ones have no link to show. `address` is where the gateway is.

    The mail goes after the invitation is stored, for no lock waits for a mail server; if it cannot be sent, the invitation is
    taken back and a ValidationError says so.
    """
    if terms.mailed and not may_mail():
        raise ValidationError({"mailed": _("No mail is configured on this gateway; make a link and hand it over.")})
    with changing(actor) as change:
        invitation, token = invite(change, party, team, terms)
    link = Secret(f"{address}/invitations/{token.reveal()}/")
    if not terms.mailed:
        return invitation, link
    try:
        _send(invitation, link)
    except (SMTPException, OSError) as error:
        log.warning("an invitation could not be mailed", team=team.name, error=str(error))
        with changing(actor) as change:
            withdraw_invitation(change, party, invitation)
        raise ValidationError(
            {"mailed": _("The mail could not be sent; nobody is invited. Try again, or make a link.")}
        ) from None
    return invitation, None


def _send(invitation: Invitation, link: Secret) -> None:
    names = {"invitation": invitation, "team": invitation.team, "link": link.reveal()}
    subject = _("Invitation to the team %(team)s") % {"team": invitation.team}
    message = EmailMultiAlternatives(
        " ".join(subject.split()), render_to_string("email/invitation.txt", names), to=[invitation.email]
    )
    message.attach_alternative(render_to_string("email/invitation.html", names), "text/html")
    message.send()
