"""Whose an account at the login provider is."""

from contracts.directory import PersonChanged
from storage import Session

from identity.clients.provider import ExistingAccount
from identity.store import directory


async def may_use_account(
    session: Session, person: PersonChanged, holder: ExistingAccount, issuer: str, *, linked: bool
) -> bool:
    """Whether the account may be this person's: it is of this tenant, or with `linked` of another, and nobody else in
    the directory signs in by it."""
    known = await directory.find_related_people(session, slug="", logins=[(issuer, holder.sub)], external_ids=[])
    return (linked or holder.tenant == session.tenant) and not known.keys() - {person.id}
