"""Leaderboards."""

from datetime import date, timedelta
from typing import Any, Literal
from uuid import UUID

from contracts.windows import WindowName, window_name
from pydantic import AliasChoices, BaseModel, Field
from servicekit import (
    Caller,
    CallerDep,
    Page,
    PageDep,
    WorkSession,
    directory,
    page_of,
    page_within,
    route_policy,
    visibility,
)
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Forbidden, Invalid, NotFound
from servicekit.times import Day
from storage import Session

from gamification.actions import agent_workdays
from gamification.actions import rules as actions
from gamification.model.boards import Leaderboard, compute_period, shows_name
from gamification.model.rules import Slug
from gamification.store import ledger, rules

router = door_router(tags=["leaderboards"])


class Place(BaseModel):
    """Equal points share a rank. `agent` and the rest of the name are null where the board hides them."""

    rank: int
    points: int
    entries: int
    me: bool
    agent_id: UUID | None
    agent: str | None
    name: str | None


class Standings(BaseModel):
    """`window`: the period, `from` and `to` its days, all null for all time; `ranked`: how many people are on the board; `me`: the caller's place."""

    leaderboard: str
    title: dict[str, str]
    period: Literal["week", "month", "total"]
    window: WindowName | None
    first: date | None = Field(validation_alias=AliasChoices("from", "first"), serialization_alias="from")
    last: date | None = Field(validation_alias=AliasChoices("to", "last"), serialization_alias="to")
    ranked: int
    me: Place | None
    items: list[Place]
    next: str | None


@router.get("/leaderboards")
@route_policy(reach="tenant")
async def list_leaderboards(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[Leaderboard]:
    """The boards there are, by name."""
    return page_within(await rules.list_boards(session), page, lambda each: each.leaderboard)


@router.put("/leaderboards/{leaderboard}")
@route_policy(roles=("tenant_admin",))
async def put_leaderboard(leaderboard: Slug, body: Leaderboard, session: WorkSession, caller: CallerDep) -> Leaderboard:
    """Adds or changes a board. Needs tenant_admin."""
    if body.leaderboard != leaderboard:
        problem = FieldProblem(pointer="/leaderboard", problem=f"it is `{body.leaderboard}`", cure=f"`{leaderboard}`")
        raise Invalid("other-leaderboard", "The body names another board than the address.", errors=[problem])
    await actions.put_board(session, body)
    return body


@router.delete("/leaderboards/{leaderboard}", status_code=204)
@route_policy(roles=("tenant_admin",))
async def delete_leaderboard(leaderboard: str, session: WorkSession, caller: CallerDep) -> None:
    """The points that it counted stay."""
    await actions.remove_board(session, leaderboard)


@router.get("/leaderboards/{leaderboard}")
@route_policy(reach="tenant")
async def get_leaderboard(leaderboard: str, session: WorkSession, caller: CallerDep) -> Leaderboard:
    """What the board counts and shows; who stands where on it: `…/standings`."""
    return await _require_board(session, leaderboard)


@router.get("/leaderboards/{leaderboard}/standings")
@route_policy(reach="tenant")
async def get_standings(
    leaderboard: str,
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    on: Day | None = None,
    team: str | None = None,
    around_me: bool = False,
) -> Standings:
    """The period that `on` lies in (today without it). `team`: only what people earned in that org unit. `around_me`: the top and
    the caller's neighbours, on one page."""
    board = await _require_board(session, leaderboard)
    visible = await visibility.load_visibility(session, caller)
    units: frozenset[UUID] | None = None
    for unit in (board.org_unit, team):
        if unit is not None:
            found = await _require_units(session, caller, unit)
            units = found if units is None else units & found
    first, end = compute_period(
        board.period, on or (await agent_workdays.load_workdays(session, ())).workday_of(None, session.now)
    )
    rows = await ledger.load_ranking(
        session, first=first, end=end, rules=board.rules, units=units, min_entries=board.min_entries
    )
    last = end - timedelta(days=1)
    seen = await visible.filter_visible_spans(session, {(row.agent_id, first, last) for row in rows})
    places: list[Place] = []
    for row in rows:
        named = shows_name(board, row.rank, (row.agent_id, first, last) in seen)
        places.append(
            Place(
                rank=row.rank,
                points=row.points,
                entries=row.entries,
                me=row.agent_id == caller.person_id,
                agent_id=row.agent_id if named else None,
                agent=row.agent if named else None,
                name=row.name if named else None,
            )
        )
    mine = next((index for index, place in enumerate(places) if place.me), None)
    if around_me:
        shown = _select_around(board, places, mine)
        following = None
    else:
        (start,) = page.values(_parse_position) or (0,)
        shown = places[start : start + page.limit]
        following = page_of(places[start : start + page.limit + 1], page, lambda _: [start + page.limit]).next
    bounded = board.period != "total"
    return Standings(
        leaderboard=board.leaderboard,
        title=board.title,
        period=board.period,
        window=window_name(board.period, first, last) if bounded else None,
        first=first if bounded else None,
        last=last if bounded else None,
        ranked=len(places),
        me=None if mine is None else places[mine],
        items=shown,
        next=following,
    )


async def _require_board(session: Session, name: str) -> Leaderboard:
    board = await rules.find_board(session, name)
    if board is None:
        raise NotFound("unknown-leaderboard", f"There is no leaderboard `{name}`.")
    return board


def _parse_position(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(value)
    return value


def _select_around(board: Leaderboard, places: list[Place], mine: int | None) -> list[Place]:
    neighbours = range(0) if mine is None else range(mine - board.around, mine + board.around + 1)
    return [place for index, place in enumerate(places) if place.rank <= board.top or index in neighbours]


async def _require_units(session: Session, caller: Caller, unit: str) -> frozenset[UUID]:
    """Ids of an org unit and those below it. Raises Forbidden unless the caller is a member or may see all its people."""
    asked = await visibility.load_visibility(session, caller, team=unit)
    assert asked.team is not None
    found = (await directory.find_org_unit(session, unit)).id
    if not asked.is_unrestricted and caller.person_id not in await directory.find_members(session, found):
        raise Forbidden("not-your-team", "You may see the boards of your own teams only.")
    return asked.team
