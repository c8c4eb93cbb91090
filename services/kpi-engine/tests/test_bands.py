"""Bands as a pure function of windows, and the difference between published and derived stays."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from uuid import UUID

from contracts import derived_id
from hypothesis import given
from hypothesis import strategies as st
from kpi_engine.model.bands import BandRules, EvaluatedWindow, PublishedStay, Stay, derive_stays, diff_stays, find_band
from kpi_engine.model.targets import Band, PersonOnDay, Target, parse_selector, select_target

THREE_OF_FIVE = BandRules(3, 5, 3, 5)
EDGES = (Band("good", Decimal(0), 0), Band("watch", Decimal(40), 1), Band("coach", Decimal(60), 2))


def windows(bands: str) -> list[EvaluatedWindow]:
    """One letter a window: g, w, c; `-` for a sample that is too small, `.` for below the first band."""
    names = {"g": "good", "w": "watch", "c": "coach", ".": None, "-": None}
    return [EvaluatedWindow(f"{n:02}", None, 20, names[letter], letter != "-") for n, letter in enumerate(bands, 1)]


def stays(bands: str, rules: BandRules = THREE_OF_FIVE) -> list[tuple[str, str, str | None]]:
    return [(stay.band, stay.entered, stay.left) for stay in derive_stays(rules, windows(bands))]


def test_edges_are_half_open():
    assert [find_band(value, EDGES) for value in (-1, 0, 39, 40, 59, 60, 1000)] == [
        None, "good", "good", "watch", "watch", "coach", "coach",
    ]  # fmt: skip
    assert find_band(-1, (Band("low", None, 0), Band("high", Decimal(0), 1))) == "low"


def test_a_band_is_entered_at_the_third_of_five():
    assert stays("cc") == []
    assert stays("ccc") == [("coach", "03", None)]
    assert stays("cgcgc") == [("coach", "05", None)]
    assert stays("cggcwc") == []  # the first one has dropped out of the last five


def test_a_band_is_left_at_the_third_window_elsewhere_and_the_next_begins_there():
    assert stays("ccccgg") == [("coach", "03", None)]
    assert stays("cccggg") == [("coach", "03", "06"), ("good", "06", None)]
    assert stays("cccgwg") == [("coach", "03", "06")]  # no other band has three of five yet
    assert stays("cccgwgg") == [("coach", "03", "06"), ("good", "07", None)]


def test_leaving_counts_the_windows_since_the_band_was_entered():
    """Those before made the band be entered. Were they to count again, one better window would end what three began."""
    assert stays("cggccg") == [("coach", "05", None)]
    assert stays("cggccgg") == [("coach", "05", None)]
    assert stays("cggccggg") == [("coach", "05", "08"), ("good", "08", None)]
    assert stays("cggccgcgcg") == [("coach", "05", "10"), ("good", "10", None)]  # three of five, all of them since


def test_a_window_without_a_sample_says_nothing():
    assert stays("c-c--c") == [("coach", "06", None)]
    assert stays("ccc-g-g-g") == [("coach", "03", "09"), ("good", "09", None)]


def test_below_the_first_band_is_elsewhere_but_no_band():
    assert stays("ccc...") == [("coach", "03", "06")]


@given(st.text("gwc-.", max_size=30), st.integers(1, 4), st.integers(0, 3), st.integers(1, 4), st.integers(0, 3))
def test_a_prefix_has_the_same_stays_as_the_whole_up_to_its_end(bands, x, more, y, more_y):
    rules = BandRules(x, x + more, y, y + more_y)
    whole = stays(bands, rules)
    for end in range(len(bands) + 1):
        last = f"{end:02}"
        known = [(b, e, left if left and left <= last else None) for b, e, left in whole if e <= last]
        assert stays(bands[:end], rules) == known


@given(
    st.text("gwc-.", max_size=30), st.text("gwc-.", max_size=12), st.integers(0, 30), st.integers(0, 4),
    st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(1, 4), st.integers(0, 3)),
)  # fmt: skip
def test_going_on_from_a_window_equals_the_beginning(before, after, place, more, of):
    """From `place` on the windows are other ones. The stays published before and a short look back are enough."""
    rules = BandRules(of[0], of[0] + of[1], of[2], of[2] + of[3])
    place = min(place, len(before))
    begin = f"{place + 1:02}"
    published = derive_stays(rules, windows(before))
    whole = derive_stays(rules, windows(before[:place] + after))
    speaking = [number for number, letter in enumerate(before[:place]) if letter != "-"]
    seen = speaking[-(rules.lookback + more) :] if rules.lookback + more else []
    start = seen[0] if seen else place
    lasts = [stay for stay in published if stay.entered < begin and (stay.left is None or stay.left >= begin)]
    lasting = Stay(lasts[0].band, lasts[0].entered) if lasts else None
    found = derive_stays(rules, windows(before[:place] + after)[start:], begin=begin, current=lasting)
    ends = [
        (stay.band, stay.entered, stay.left, stay.to_band, stay.exit) for stay in whole if (stay.left or begin) >= begin
    ]
    assert [(stay.band, stay.entered, stay.left, stay.to_band, stay.exit) for stay in found] == ends
    assert [stay.entry for stay in found if stay.entered >= begin] == [
        stay.entry for stay in whole if stay.entered >= begin
    ]


@given(st.lists(st.text("gwc-.", max_size=12), min_size=1, max_size=6))
def test_differences_applied_in_turn_equal_the_derived_stays(histories):
    published: dict[UUID, PublishedStay] = {}
    used: set[UUID] = set()
    for bands in histories:
        derived = derive_stays(BandRules(2, 3, 2, 3), windows(bands))
        changes = diff_stays(published.values(), derived, lambda stay: derived_id(stay, len(used)))
        for change in changes:
            match change.kind:
                case "retract_entered":
                    del published[change.stay_id]
                case "retract_left":
                    published[change.stay_id] = replace(published[change.stay_id], left=None, to_band=None)
                case "entered":
                    assert change.stay_id not in used
                    used.add(change.stay_id)
                    published[change.stay_id] = PublishedStay(change.stay_id, change.band, change.at_window)
                case "left":
                    assert change.stay is not None
                    published[change.stay_id] = replace(
                        published[change.stay_id], left=change.at_window, to_band=change.stay.to_band
                    )
                case "stayed":
                    now = {*published[change.stay_id].stayed_windows, *(window.window for window in change.windows)} - {
                        *change.withdrawn
                    }
                    assert tuple(sorted(now)) == change.stayed_windows
                    published[change.stay_id] = replace(published[change.stay_id], stayed_windows=change.stayed_windows)
        assert {(s.band, s.entered, s.left, s.to_band, s.stayed_windows) for s in published.values()} == {
            (s.band, s.entered, s.left, s.to_band, tuple(window.window for window in s.stayed_windows)) for s in derived
        }
        assert diff_stays(published.values(), derived, lambda stay: derived_id("never")) == []


def published_after(bands: str) -> list[PublishedStay]:
    derived = derive_stays(THREE_OF_FIVE, windows(bands))
    return [PublishedStay(derived_id(s.band, s.entered), s.band, s.entered, s.left, s.to_band) for s in derived]


def changes(before: str, after: str) -> list[tuple[str, str, str]]:
    found = diff_stays(
        published_after(before), derive_stays(THREE_OF_FIVE, windows(after)), lambda stay: derived_id("new")
    )
    return [(change.kind, change.band, change.at_window) for change in found if change.kind != "stayed"]


def went_on(before: str, after: str, begin: str = "") -> list[tuple[str, list[str], list[str]]]:
    """The changes of the windows within stays."""
    published = [
        replace(each, stayed_windows=tuple(w.window for w in stay.stayed_windows))
        for each, stay in zip(published_after(before), derive_stays(THREE_OF_FIVE, windows(before)), strict=True)
    ]
    found = diff_stays(
        published, derive_stays(THREE_OF_FIVE, windows(after)), lambda stay: derived_id("new"), begin=begin
    )
    return [
        (each.band, [window.window for window in each.windows], list(each.withdrawn))
        for each in found if each.kind == "stayed"
    ]  # fmt: skip


def test_a_stay_goes_on_in_every_window_that_speaks_and_does_not_end_it():
    assert went_on("ccc", "cccc") == [("coach", ["04"], [])]
    assert went_on("cccc", "cccc") == []
    assert went_on("ccc", "ccc-gc") == [("coach", ["05", "06"], [])]  # elsewhere, but not left yet
    assert went_on("cccccc", "cccc-c") == [("coach", [], ["05"])]
    assert went_on("cccggc", "cccggg") == [("coach", [], ["06"])]  # now it is the window of leaving
    assert went_on("cccccc", "cccc-c", begin="06") == []


def test_retractions_come_before_new_stays():
    assert changes("cccgwg", "cccgcg") == [("retract_left", "coach", "06")]
    assert changes("cccgwg", "cccgwcg") == [("retract_left", "coach", "06"), ("left", "coach", "07")]
    # It was left at the same window, but for another band.
    assert changes("cccggg", "cccwww") == [
        ("retract_entered", "good", "06"), ("retract_left", "coach", "06"),
        ("left", "coach", "06"), ("entered", "watch", "06"),
    ]  # fmt: skip
    assert changes("ccc", "gcc") == [("retract_entered", "coach", "03")]
    assert changes("ccc", "cccggg") == [("left", "coach", "06"), ("entered", "good", "06")]


def selector(text: str):
    node, problems = parse_selector(text)
    assert not problems, problems
    return node


ADA = PersonOnDay(
    hire_date=date(2026, 1, 5), skills=frozenset({"billing", "chat"}), org_units=frozenset({"site", "team-a"}),
    roles=frozenset({"agent"}), employment="full_time", day=date(2026, 3, 2),
)  # fmt: skip


def fits(when: str, who: PersonOnDay) -> bool:
    return Target(0, when, selector(when), 0, EDGES).fits(who)


def test_selectors_ask_of_people():
    assert ADA.tenure_days == 56
    for text in (
        "tenure_days < 90", "skill = 'chat'", "skill in ('x', 'billing')", "org_unit = 'site'", "role <> 'team_lead'",
        "employment = 'full_time' and tenure_days between 50 and 60", "not (skill = 'x')", "employment is not null", "tenure_days > - -55",
    ):  # fmt: skip
        assert fits(text, ADA), text
    for text in ("tenure_days >= 90", "skill <> 'chat'", "org_unit = 'team-b'", "employment in ('temp')"):
        assert not fits(text, ADA), text
    nobody = PersonOnDay(day=date(2026, 3, 2))
    assert not fits("tenure_days < 90", nobody)
    assert not fits("not (tenure_days < 90)", nobody)  # unknown is not "no"


def test_the_most_specific_target_wins_then_the_priority():
    def target(index: int, when: str, priority: int = 0) -> Target:
        return Target(index, when, selector(when), priority, EDGES)

    broad, narrow = target(0, "tenure_days < 90"), target(1, "tenure_days < 90 and skill = 'chat'")
    preferred = target(2, "role = 'agent'", 5)
    assert select_target([broad, narrow, preferred], ADA) is narrow
    assert select_target([broad, preferred], ADA) is preferred
    assert select_target([target(3, "skill = 'x'")], ADA) is None


def test_a_selector_with_another_condition_is_refused():
    for text in ("tenure_days", "tenure_days + 1 < 5", "skill = role", "tenure < 9", "sum(tenure_days) > 1",
                 "tenure_days > -tenure_days", "abs(tenure_days) > 5"):  # fmt: skip
        assert parse_selector(text)[1], text
