"""Leaderboards."""

from collections.abc import Collection
from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from servicekit import Caller, CallerDep, PageDep, WorkSession, directory, page_of
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Forbidden, Invalid, NotFound
from storage import Session

from gamification.actions import days
from gamification.actions import rules as actions
from gamification.model.boards import Leaderboard, shows_name, span
from gamification.model.rules import Slug, Strict
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
    """`first` and `last` day of the period; `ranked`: how many people are on the board; `me`: the caller's place."""

    leaderboard: str
    title: dict[str, str]
    period: str
    first: date | None
    last: date | None
    ranked: int
    me: Place | None
    items: list[Place]
    next: str | None


class Leaderboards(Strict):
    leaderboards: list[Leaderboard]


@router.get("/leaderboards")
async def list_leaderboards(session: WorkSession, caller: CallerDep) -> Leaderboards:
    return Leaderboards(leaderboards=await rules.list_boards(session))


@router.put("/leaderboards/{leaderboard}")
async def put_leaderboard(leaderboard: Slug, body: Leaderboard, session: WorkSession, caller: CallerDep) -> Leaderboard:
    caller.require("tenant_admin")
    if body.leaderboard != leaderboard:
        problem = FieldProblem(pointer="/leaderboard", problem=f"it is `{body.leaderboard}`", cure=f"`{leaderboard}`")
        raise Invalid("other-leaderboard", "The body names another board than the address.", errors=[problem])
    await actions.put_board(session, body)
    return body


@router.get("/leaderboards/{leaderboard}")
async def get_leaderboard(
    leaderboard: str,
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    on: date | None = None,
    team: str | None = None,
    around_me: bool = False,
) -> Standings:
    """The period that `on` lies in (today without it). `team`: that org unit's people only. `around_me`: the top and
    the caller's neighbours, on one page."""
    board = await rules.find_board(session, leaderboard)
    if board is None:
        raise NotFound("unknown-leaderboard", f"There is no leaderboard `{leaderboard}`.")
    visible = await directory.visible_agents(session, caller)
    agents: set[UUID] | None = None
    for unit in (board.org_unit, team):
        if unit is not None:
            members = await _members(session, caller, unit, visible)
            agents = members if agents is None else agents & members
    try:
        first, end = span(board.period, on or days.today(await days.tenant(session), session.now))
    except OverflowError as error:
        problem = FieldProblem(pointer="/on", problem="its period lies beyond the calendar", cure="an earlier day")
        raise Invalid("day-beyond-calendar", f"There is no period around {on}.", errors=[problem]) from error
    rows = await ledger.ranking(
        session, first=first, end=end, rules=board.rules, agents=agents, min_entries=board.min_entries
    )
    places: list[Place] = []
    for row in rows:
        named = row if shows_name(board, row["rank"], row["agent_id"], visible) else {}
        places.append(
            Place(
                rank=row["rank"],
                points=row["points"],
                entries=row["entries"],
                me=row["agent_id"] == caller.person_id,
                agent_id=named.get("agent_id"),
                agent=named.get("agent"),
                name=named.get("name"),
            )
        )
    mine = next((index for index, place in enumerate(places) if place.me), None)
    if around_me:
        shown = _around(board, places, mine)
        following = None
    else:
        (start,) = page.place(_position) or (0,)
        shown = places[start : start + page.limit]
        following = page_of(places[start : start + page.limit + 1], page.limit, lambda _: [start + page.limit]).next
    bounded = board.period != "total"
    return Standings(
        leaderboard=board.leaderboard,
        title=board.title,
        period=board.period,
        first=first if bounded else None,
        last=date.fromordinal(end.toordinal() - 1) if bounded else None,
        ranked=len(places),
        me=None if mine is None else places[mine],
        items=shown,
        next=following,
    )


def _position(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(value)
    return value


def _around(board: Leaderboard, places: list[Place], mine: int | None) -> list[Place]:
    near = range(0) if mine is None else range(mine - board.around, mine + board.around + 1)
    return [place for index, place in enumerate(places) if place.rank <= board.top or index in near]


async def _members(session: Session, caller: Caller, unit: str, visible: Collection[UUID] | None) -> set[UUID]:
    """An org unit's people, for those who belong to it or may see all of them."""
    found = await directory.find_org_unit(session, unit)
    members = await directory.agents_of(session, found.id, caller.today)
    if visible is not None and caller.person_id not in members and not members <= set(visible):
        raise Forbidden("not-your-team", "You may see the boards of your own teams only.")
    return members
