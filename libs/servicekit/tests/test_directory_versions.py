"""The copy of the directory keeps the newest state, in whatever order states come."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from contracts.directory import SessionEnded
from messaging.broker import Message
from servicekit.event_door import parse_message
from servicekit.visibility import VisibilityFilter
from testkit import ISSUER, Harness, org_unit, parse_instant, person, person_after_move, person_id, tenant, unit_id


async def hear(notes: Harness, *messages: Message, of: str = "acme") -> None:
    async with notes.context.sessions.begin([of], now=notes.now) as session:
        await notes.running.doors["directory"].handle(session, [parse_message(each) for each in messages])


def erased(message: Message, version: int | None) -> Message:
    headers = {**message.headers, **({} if version is None else {"ce_version": str(version)})}
    return replace(message, value=None, headers=headers)


async def status(notes: Harness, who: str) -> int:
    return (await notes.client_as(who, "acme").get("/me")).status_code


async def test_a_late_state_brings_nobody_back_who_was_switched_off(own_notes: Harness) -> None:
    on, off = person("root", roles=["tenant_admin"], version=7), person("root", active=False, version=8)
    await own_notes.apply_directory("acme", people=[on, off])
    assert await status(own_notes, "root") == 403
    await hear(own_notes, own_notes.message(on, tenant="acme"))
    assert await status(own_notes, "root") == 403
    await own_notes.apply_directory("acme", people=[person("root", version=9)])
    assert await status(own_notes, "root") == 200


async def test_a_late_state_of_a_tenant_or_a_unit_is_passed_over(own_notes: Harness) -> None:
    await own_notes.apply_directory(
        "acme",
        of_tenant=tenant("acme", active=False, version=3),
        org_units=[org_unit("blue", parent="floor", version=3, kind="new")],
    )
    await own_notes.apply_directory(
        "acme", of_tenant=tenant("acme", version=2), org_units=[org_unit("blue", version=2, kind="old")]
    )
    assert await status(own_notes, "ada") == 403
    (unit,) = await own_notes.rows("acme", "SELECT body->>'kind' AS kind FROM directory_org_unit WHERE slug = 'blue'")
    assert unit["kind"] == "new"


@pytest.mark.parametrize("version", [5, None])
async def test_an_erased_person_stays_so(own_notes: Harness, version: int | None) -> None:
    last = own_notes.message(person("ada", team="blue", version=5), tenant="acme")
    await hear(own_notes, last, erased(last, version))
    await hear(own_notes, own_notes.message(person("ada", team="blue", version=4), tenant="acme"), last)
    assert await status(own_notes, "ada") == 403
    for table, column in (("directory_person", "id"), ("directory_membership", "person_id")):
        assert not await own_notes.rows("acme", f"SELECT 1 FROM {table} WHERE {column} = :id", id=person_id("ada"))


async def test_an_erasure_that_comes_late_erases_nothing_newer(own_notes: Harness) -> None:
    new = own_notes.message(person("ada", team="blue", version=6), tenant="acme")
    await hear(own_notes, new, erased(new, 5))
    assert await status(own_notes, "ada") == 200


async def test_states_without_a_version_are_taken_in_the_order_they_come(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", people=[person("ada", active=False)])
    assert await status(own_notes, "ada") == 403
    await own_notes.apply_directory("acme", people=[person("ada")])
    assert await status(own_notes, "ada") == 200
    await own_notes.apply_directory("acme", people=[person("ada", version=1, active=False)])
    await own_notes.apply_directory("acme", people=[person("ada")])
    assert await status(own_notes, "ada") == 403


async def test_a_session_that_ended_again_stays_ended(own_notes: Harness) -> None:
    def ended(when: str) -> SessionEnded:
        return SessionEnded(
            iss=ISSUER, sub="ada", ended_at=parse_instant(when), until=parse_instant(when) + timedelta(days=1)
        )

    first, second = ended("2026-03-02T08:00Z"), ended("2026-03-05T08:00Z")
    old = own_notes.message(first, tenant="platform")
    await hear(own_notes, own_notes.message(second, tenant="platform"), of="platform")
    await hear(own_notes, old, erased(old, first.state_version()), of="platform")
    rows = await own_notes.rows("platform", "SELECT ended_at FROM ended_session WHERE ref = 'sub:ada'")
    assert [row["ended_at"] for row in rows] == [second.ended_at]


async def test_the_same_person_of_another_tenant_has_versions_of_its_own(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", people=[person("max", version=9)])
    await own_notes.apply_directory("zeta", people=[person("max", version=1)])
    assert (await own_notes.client_as("max", "zeta").get("/me")).status_code == 200


async def test_who_is_seen_on_which_day(own_notes: Harness) -> None:
    """A unit's members of the day, also where units lie below it; two leads, one move."""
    await own_notes.apply_directory("acme", people=[person_after_move("ada", "blue", "red", date(2026, 3, 4))])
    async with own_notes.context.sessions.begin(["acme"], now=own_notes.now) as session:
        blue = VisibilityFilter(
            person_id("lea"), False, frozenset({unit_id("blue")}), candidates=frozenset({person_id("ada")})
        )
        ada = person_id("ada")
        assert await blue.is_visible(session, ada, date(2026, 3, 3))
        assert not await blue.is_visible(session, ada, date(2026, 3, 4))
        assert await blue.is_visible(session, ada, date(2026, 3, 3), date(2026, 3, 9))
        assert await blue.is_visible(session, person_id("lea"), date(2026, 3, 9)), "oneself"
        assert not await blue.is_visible(session, None, date(2026, 3, 3)), "what nobody took"
        windows = {(ada, "2026-W09"), (ada, "2026-W10"), (ada, "2026-03-03"), (ada, "last 50")}
        assert await blue.filter_visible_windows(session, windows) == {(ada, "2026-W09"), (ada, "2026-03-03")}
