"""The ledger: points that were given and taken back, balances, and the running day's provisional points."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel
from servicekit import CallerDep, Page, PageDep, WorkSession, directory, get_context, page_of, route_policy, visibility
from servicekit import router as door_router
from servicekit.feature_flags import PROVISIONAL_POINTS
from servicekit.reasons import Reason, reason_of

from gamification.actions.improvement import load_provisional_points
from gamification.store import ledger as store

router = door_router(tags=["ledger"])


class Entry(BaseModel):
    """`cause`: the stay in a band, the assignment, or the KPI and workday it was given for. A reversal has negative
    `points`, the entry it `reverses` and the `reason`; `earned_on` is the day that its period is counted by."""

    id: UUID
    agent_id: UUID
    agent: str | None
    name: str | None
    rule: str
    title: dict[str, str]
    cause: str
    points: int
    at: datetime
    earned_on: date
    reverses: UUID | None
    reason: Reason | None
    detail: dict[str, Any] | None


class Provisional(BaseModel):
    """Points for improvement that the running workday would give if it ended now. They are not in the ledger and not in
    `balance`: they rise and fall with every call until the day has settled."""

    workday: date
    points: int


class Balance(BaseModel):
    """`partial`: only of the days on which the caller may see this agent; there are entries of other days.
    `provisional`: of the agent's running workday; null where the caller may not see the agent on it, and where the feature
    flag `provisional-points` is off."""

    agent_id: UUID
    agent: str
    name: str
    balance: int
    partial: bool = False
    provisional: Provisional | None = None


@router.get("/ledger")
@route_policy(reach="people")
async def list_entries(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    agent: str | None = None,
    team: str | None = None,
    rule: str | None = None,
) -> Page[Entry]:
    """Newest first, of the people the caller may see on the day that an entry was earned on; `agent` and `team` (its
    people of that day) by id or slug."""
    visible = await visibility.load_visibility(session, caller, agent=agent, team=team)
    after = page.values(datetime.fromisoformat, UUID)
    rows = await store.load_page(session, visible=visible, rule=rule, after=after, limit=page.limit + 1)
    entries = [Entry.model_validate({**vars(row), "reason": _reason_of_row(row)}) for row in rows]
    return page_of(entries, page, cursor=lambda entry: [entry.at.isoformat(), str(entry.id)])


def _reason_of_row(row: store.LedgerRow) -> Reason | None:
    """Why a reversal was made. Old entries have a sentence and no code."""
    code_of_sentence = "band_corrected" if row.reason == "the band was corrected" else "score_corrected"
    return reason_of(row.reason_code or (code_of_sentence if row.reason else None), row.reason_values)


@router.get("/balance")
@route_policy(reach="people")
async def get_balance(session: WorkSession, caller: CallerDep, request: Request, agent: str | None = None) -> Balance:
    """The sum of an agent's entries, and the provisional points of the running workday; without `agent`, the caller's own."""
    person = caller.person if agent is None else await directory.find_person(session, agent)
    visible = await visibility.load_visibility(session, caller, agent=str(person.id))
    found = await store.load_balance(session, person.id, visible)
    today = await directory.today_of(session, person.id)
    provisional = None
    shows_provisional = get_context(request).flags.is_on(PROVISIONAL_POINTS, caller.tenant)
    if shows_provisional and await visible.is_visible(session, person.id, today):
        provisional = Provisional(workday=today, points=await load_provisional_points(session, person.id, today))
    return Balance(
        agent_id=person.id,
        agent=person.slug,
        name=person.display_name,
        balance=found.points,
        partial=found.partial,
        provisional=provisional,
    )
