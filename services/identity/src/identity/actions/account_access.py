"""Whether a person may sign in by an account that exists at the login provider."""

from contracts.directory import PersonChanged
from storage import Session

from identity.clients.provider import ExistingAccount
from identity.store import directory


async def may_use_account(
    session: Session, person: PersonChanged, holder: ExistingAccount, issuer: str, *, linked: bool
) -> bool:
    """Whether the person may use the account: it belongs to this tenant (with `linked`: to any), and nobody else in the directory
    signs in by it. `issuer`: the `iss` of the provider's logins."""
    known = await directory.find_related_people(session, slug="", logins=[(issuer, holder.sub)], external_ids=[])
    return (linked or holder.tenant == session.tenant) and not known.keys() - {person.id}
