"""The pure model: what a day of the simulated phone system looks like."""

import json
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import mean

import pytest
from ingest.model import amazon_connect
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Contact, Part
from simulator import Agent, Centre
from simulator.centre import SLICES, workdays

FIRST = date(2026, 3, 2)
DAYS = workdays(FIRST, FIRST + timedelta(days=11))


@pytest.fixture(scope="module")
def delivered(centre):
    return [each for day in DAYS for each in centre.deliveries(day, {})]


@pytest.fixture(scope="module")
def records(delivered):
    """Every record once, by kind and contact, in order of delivery: duplicates are left out, corrections are not."""
    found = defaultdict(list)
    for each in delivered:
        body = json.loads(each.record)
        kind = "ctr" if "InitiationTimestamp" in body else "lens"
        contact = body["ContactId"] if kind == "ctr" else body["CustomerMetadata"]["ContactId"]
        if body not in found[kind, contact]:
            found[kind, contact].append(body)
    return found


def ctrs(records):
    return [bodies[0] for (kind, _), bodies in records.items() if kind == "ctr"]


def silence_by_agent(centre: Centre, day: date, finished=None) -> dict[str, float]:
    """Percent of silence by user name, of first measurements, duplicates left out."""
    agent_of, lens = {}, {}
    for each in centre.deliveries(day, finished or {}):
        body = json.loads(each.record)
        if "InitiationTimestamp" in body:
            agent_of.setdefault(body["ContactId"], body["Agent"] and body["Agent"]["Username"])
        else:
            lens.setdefault(body["CustomerMetadata"]["ContactId"], body["ConversationCharacteristics"])
    silent, total = Counter(), Counter()
    for contact, found in lens.items():
        silent[agent_of[contact]] += found["NonTalkTime"]["TotalTimeMillis"]
        total[agent_of[contact]] += found["TotalConversationDurationMillis"]
    return {agent: 100 * silent[agent] / total[agent] for agent in total}


def at(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


def test_the_same_seed_gives_the_same_bytes(centre):
    again = Centre(centre.agents, centre.zone, centre.seed)
    assert centre.deliveries(FIRST, {}) == again.deliveries(FIRST, {})
    assert centre.deliveries(FIRST, {}) != Centre(centre.agents, centre.zone, centre.seed + 1).deliveries(FIRST, {})


def test_the_bytes_do_not_depend_on_the_process():
    program = (
        "import datetime, hashlib\n"
        "import simulator\nfrom simulator import demo\n"
        "bundle = demo.load_blueprint(datetime.date(2026, 3, 2))\n"
        "centre = simulator.build_centre(bundle['sections']['identity'], featured='agent')\n"
        "found = b''.join(each.record for each in centre.deliveries(datetime.date(2026, 3, 2), {}))\n"
        "print(hashlib.sha256(found).hexdigest())"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1


def test_thirty_agents_take_about_25_calls_each(centre, records):
    by_agent = Counter(ctr["Agent"]["Username"] for ctr in ctrs(records) if ctr["Agent"])
    known = [agent for agent in centre.agents if agent.known]
    assert len(known) == 30
    assert mean(by_agent[agent.username] / len(DAYS) for agent in known) == pytest.approx(25, abs=1.5)
    assert {agent.team for agent in known} == {"billing", "technical-support", "sales"}


def test_a_few_agents_are_not_in_the_directory(bundle, centre):
    told = {
        each["external_id"]
        for person in bundle["sections"]["identity"]["people"]
        for each in person.get("external_ids", [])
    }
    assert [agent.username for agent in centre.agents if agent.username not in told] == ["temp.01", "temp.02"]


def test_shares_of_duplicates_late_and_corrected(delivered, records):
    times = defaultdict(list)
    for each in delivered:
        times[each.record].append(each.at)
    assert mean(len(ats) - 1 for ats in times.values()) == pytest.approx(0.05, abs=0.012)

    late, corrected, answered = 0, 0, 0
    for (kind, _), bodies in records.items():
        if kind != "ctr":
            continue
        first = bodies[0]
        written = at(first["LastUpdateTimestamp"]).timestamp()
        answered += 1
        corrected += len(bodies) > 1
        late += times[_line(first)][0] - written > 3600
    assert late / answered == pytest.approx(0.02, abs=0.008)
    assert corrected / answered == pytest.approx(0.01, abs=0.006)


def _line(body) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


def test_a_correction_comes_days_later_with_a_newer_stamp_and_other_numbers(delivered, records):
    first_sent = {}
    for each in delivered:
        first_sent.setdefault(each.record, each.at)
    corrected = [bodies for (kind, _), bodies in records.items() if kind == "ctr" and len(bodies) > 1]
    assert corrected
    for before, after in corrected:
        assert at(after["LastUpdateTimestamp"]) > at(before["LastUpdateTimestamp"])
        assert timedelta(days=1) <= timedelta(seconds=first_sent[_line(after)] - first_sent[_line(before)])
        assert after["Agent"]["AfterContactWorkDuration"] > before["Agent"]["AfterContactWorkDuration"]
    assert any(len(bodies) > 1 for (kind, _), bodies in records.items() if kind == "lens")


def test_silences_add_up_and_fit_the_contact_record(records):
    checked = 0
    for (kind, contact), bodies in records.items():
        if kind != "lens":
            continue
        ctr = records["ctr", contact][0]
        for body in bodies:
            found = body["ConversationCharacteristics"]
            total = found["TotalConversationDurationMillis"]
            stretches = found["NonTalkTime"]["Instances"]
            assert sum(each["DurationMillis"] for each in stretches) == found["NonTalkTime"]["TotalTimeMillis"]
            last = 0
            for each in stretches:
                assert each["BeginOffsetMillis"] >= last
                assert each["EndOffsetMillis"] - each["BeginOffsetMillis"] == each["DurationMillis"] > 3000
                last = each["EndOffsetMillis"]
            assert last < total
            assert found["TalkTime"]["TotalTimeMillis"] <= total - found["NonTalkTime"]["TotalTimeMillis"]
            agent = ctr["Agent"]
            assert total == 1000 * (agent["AgentInteractionDuration"] + agent["CustomerHoldDuration"])
            assert found["NonTalkTime"]["TotalTimeMillis"] >= 1000 * agent["CustomerHoldDuration"]
            spoken = at(ctr["DisconnectTimestamp"]) - at(agent["ConnectedToAgentTimestamp"])
            assert spoken == timedelta(milliseconds=total)
            checked += 1
    assert checked > 5000


def test_ingest_takes_every_record(delivered):
    reading = ReadContext(now_ms=int(datetime(2026, 4, 1, tzinfo=UTC).timestamp() * 1000), secret=b"test")
    options = amazon_connect.Options(reason_attribute="reason")
    for each in delivered[:3000]:
        part = amazon_connect.read(json.loads(each.record), reading, options)
        assert isinstance(part, Part)
        if isinstance(part.facts, Contact) and part.facts.agents:
            assert part.facts.reason
            assert part.facts.customer_key


def test_an_agent_takes_one_call_at_a_time(records):
    by_agent = defaultdict(list)
    for ctr in ctrs(records):
        if ctr["Agent"]:
            by_agent[ctr["Agent"]["Username"]].append(
                (ctr["Agent"]["ConnectedToAgentTimestamp"], ctr["Agent"]["AfterContactWorkEndTimestamp"])
            )
    for spans in by_agent.values():
        spans.sort()
        assert all(before[1] < after[0] for before, after in pairwise(spans))


def test_calls_lie_inside_the_shift_of_the_site(centre, records):
    for ctr in ctrs(records):
        if ctr["Agent"]:
            begin = at(ctr["Agent"]["ConnectedToAgentTimestamp"]).astimezone(centre.zone)
            end = at(ctr["Agent"]["AfterContactWorkEndTimestamp"]).astimezone(centre.zone)
            assert (begin.hour, begin.minute) >= (9, 0)
            assert (end.hour, end.minute) <= (17, 30)
            assert begin.weekday() < 5


def test_transfers_chain_contacts(records):
    by_contact = {ctr["ContactId"]: ctr for ctr in ctrs(records)}
    later = [ctr for ctr in by_contact.values() if ctr["InitiationMethod"] == "TRANSFER"]
    answered = sum(ctr["Agent"] is not None for ctr in by_contact.values())
    assert 0.02 < len(later) / answered < 0.06
    for ctr in later:
        before = by_contact[ctr["PreviousContactId"]]
        assert before["NextContactId"] == ctr["ContactId"]
        assert before["TransferCompletedTimestamp"] == before["DisconnectTimestamp"] == ctr["InitiationTimestamp"]
        assert ctr["InitialContactId"] == (before["InitialContactId"] or before["ContactId"])
        assert ctr["CustomerEndpoint"] == before["CustomerEndpoint"]
        assert ctr["Queue"]["Name"] != before["Queue"]["Name"]


def test_some_callers_hang_up_in_the_queue(records):
    found = ctrs(records)
    gone = [ctr for ctr in found if ctr["Agent"] is None]
    assert len(gone) / len(found) == pytest.approx(0.05, abs=0.015)
    assert all(("lens", ctr["ContactId"]) not in records for ctr in gone)
    assert all(ctr["Queue"]["Duration"] > 0 for ctr in gone)


def test_habits_are_spread_and_the_demo_agent_needs_coaching(centre):
    known = [agent for agent in centre.agents if agent.known]
    assert sum(25 <= agent.habit <= 55 for agent in known) == 16
    assert sum(60 <= agent.habit < 70 for agent in known) == 10
    assert sum(agent.habit >= 70 for agent in known) == 4
    featured = next(agent for agent in known if agent.login == "agent")
    assert 60 < featured.habit < 70
    assert featured.goal < 60
    assert featured.diligence is not None
    assert any(agent.diligence is None for agent in known if agent.habit > 60)


def test_a_day_shows_the_habit(centre):
    shown = silence_by_agent(centre, FIRST)
    for agent in centre.agents:
        if agent.known:
            assert shown[agent.username] == pytest.approx(agent.habit, abs=7)
    assert mean(shown[a.username] - a.habit for a in centre.agents if a.known) == pytest.approx(0, abs=1)


def test_a_finished_training_changes_the_habit_of_that_agent_only(centre):
    featured = next(agent for agent in centre.agents if agent.login == "agent")
    day = FIRST + timedelta(days=11)
    before = silence_by_agent(centre, day)
    after = silence_by_agent(centre, day, {featured.slug: [FIRST]})
    assert after[featured.username] < before[featured.username] - 5
    assert {k: v for k, v in after.items() if k != featured.username} == {
        k: v for k, v in before.items() if k != featured.username
    }


def test_the_habit_falls_over_workdays_toward_the_goal():
    agent = Agent(slug="a", username="a", login="a", team="t", queue="q", habit=66, goal=46)
    done = date(2026, 3, 5)  # a Thursday
    following = [agent.habit_on(done + timedelta(days=days), [done]) for days in range(0, 40)]
    assert following[0] == 66  # the day itself is as it was
    assert following[1] == pytest.approx(66 - 20 * 0.6 * 0.3)
    assert following[2] == following[3] == following[1]  # the weekend
    assert following[4] < following[1]
    assert following[-1] == pytest.approx(66 - 20 * 0.6, abs=0.1)
    twice = agent.habit_on(done + timedelta(days=60), [done, done])
    assert twice == pytest.approx(46 + 20 * 0.16, abs=0.1)


def test_slices_and_where_history_resumes(centre):
    friday, monday = date(2026, 3, 6), date(2026, 3, 9)
    ends = [centre.instant_at(day, clock) for day in (friday, monday) for clock in SLICES]
    until = datetime(2026, 3, 9, 20, tzinfo=UTC)
    assert centre.slice_ends(centre.instant_at(friday, SLICES[0]) - timedelta(hours=1), until) == [*ends, until]
    assert centre.slice_ends(ends[0], ends[1]) == [ends[1]]
    assert centre.find_resume_point(ends[2]) == ends[1]
    assert centre.find_resume_point(ends[2] + timedelta(seconds=1)) == ends[2]
    assert centre.next_shift(ends[1]).astimezone(centre.zone) == datetime(2026, 3, 9, 9, tzinfo=centre.zone)
    assert centre.next_shift(datetime(2026, 3, 9, 3, tzinfo=UTC)) == centre.next_shift(ends[1])
    assert not centre.on_shift(ends[1])
    assert centre.on_shift(ends[0])
