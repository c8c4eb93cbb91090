"""Texts, rules, URLs and retries, with expected values calculated by hand."""

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from uuid import uuid4

import pytest
from contracts import Event
from contracts.assignments import AssignmentAssigned
from contracts.scores import BandEntered
from contracts.submissions import SubmissionScored
from notification.model.events import EVENTS, render_fields
from notification.model.retries import SCHEDULE_SECONDS, compute_delay_seconds, derive_signing_secret, parse_retry_after
from notification.model.rules import EXAMPLE_CONTEXT, NotificationSection, Rule, rule_problems, text_problems
from notification.model.templates import BadText, render, render_html_mail, render_subject
from notification.model.texts import DEFAULT_TEXTS
from servicekit.languages import format_value, format_window, select_language
from servicekit.outbound import UrlPolicy, is_public
from servicekit.reasons import REASONS


@pytest.mark.parametrize("key", sorted(DEFAULT_TEXTS))
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("to_self", [True, False])
def test_default_texts_render_for_each_event(key, language, to_self):
    body = EVENTS[key].model_validate(EVENTS[key].example)
    context = render_fields(body, language=language, time_zone="Europe/Berlin") | EXAMPLE_CONTEXT | {"to_self": to_self}
    text = DEFAULT_TEXTS[key][language]
    subject, said = render_subject(text.subject, context), render(text.body, context)
    assert len(subject) > 5
    assert len(said) > 10
    assert "{" not in subject + said
    assert "None" not in subject + said
    _speaks_to_people(subject + " " + said, body, language)
    assert to_self or key in ("form.published", "points.reversed") or "Ada" in subject


def _speaks_to_people(text: str, body: Event, language: str) -> None:
    """Asserts that a text has no slug, code, id, ISO time, or word of the other language."""
    rendered = text.replace("Ada", "")
    slugs = [
        str(value)
        for name, value in body.model_dump(mode="json").items()
        if name in ("kpi", "band", "rule", "form", "template", "reason_code")
    ]
    slugs += [body.example.get(name) or "" for name in ("from_band", "to_band")]
    assert [each for each in slugs if each and re.search(rf"\b{re.escape(each)}\b", rendered)] == []
    assert re.findall(r"[a-z]+[_.][a-z]+|[0-9a-f]{8}-|\d{4}-\d\d|\dT\d", rendered) == []
    assert re.findall("[\u3000-\u9fff]+" if language == "en" else "[A-Za-z]+", rendered) == []


@pytest.mark.parametrize(
    "key", ["band.entered", "band.left", "band.corrected", "assignment.withdrawn", "points.reversed"]
)
@pytest.mark.parametrize("code", sorted(REASONS))
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_reason_is_in_the_readers_language(key, code, language):
    values = {"window": "2026-W10", "value": None, "unit": "ms", "band_title": {"en": "Watch", "zh": "关注"}}
    body = EVENTS[key].model_validate({**EVENTS[key].example, "reason_code": code, "reason_values": values})
    context = render_fields(body, language=language, time_zone="UTC") | EXAMPLE_CONTEXT
    _speaks_to_people(render(DEFAULT_TEXTS[key][language].body, context), body, language)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_events_without_titles_render_without_slugs(language):
    """Their reason is an English log text, which must not be shown."""
    for kind in EVENTS.values():
        old = {name: value for name, value in kind.example.items() if name != "title" and not name.endswith("_title")}
        old = {name: value for name, value in old.items() if not name.startswith("reason_")} | {
            "title": kind.example.get("title", {})
        }
        context = render_fields(kind.model_validate(old), language=language, time_zone="UTC") | EXAMPLE_CONTEXT
        rendered = render(DEFAULT_TEXTS[kind.type][language].body, context) if kind.type in DEFAULT_TEXTS else ""
        assert "_" not in rendered
        assert "correct" not in rendered or language == "en"


def test_values_have_their_unit_and_decimals():
    assert [format_value("65.3846", "percent", each) for each in ("en", "zh")] == ["65.4%", "65.4%"]
    assert [format_value("331234.56", "ms", each) for each in ("en", "zh")] == ["331,235 ms", "331,235毫秒"]
    assert [format_value("12.34", "minutes", each) for each in ("en", "zh")] == ["12.3 mins", "12.3分钟"]
    assert [format_value(each, "ratio", "en") for each in ("0.125", "1200", None)] == ["0.12", "1,200", ""]


def test_windows_are_days_and_weeks():
    assert [format_window("2026-03-04", each) for each in ("en", "zh")] == ["4 March 2026", "2026年3月4日"]
    assert [format_window("2026-W10", each) for each in ("en", "zh")] == ["week 10 of 2026", "2026年第10周"]


def test_text_of_a_worked_example():
    body = AssignmentAssigned.model_validate(AssignmentAssigned.example)
    context = render_fields(body, language="zh", time_zone="Asia/Shanghai") | EXAMPLE_CONTEXT
    assert render(DEFAULT_TEXTS["assignment.assigned"]["zh"].body, context) == (
        "您收到培训“减少静默”，原因：静默占比处于“辅导”。截止时间：2026年3月12日 00:00。"
    )


def test_a_score_is_rendered_in_per_cent():
    body = SubmissionScored.model_validate(SubmissionScored.example)
    assert render_fields(body, language="en", time_zone="UTC")["score_percent"] == "87.5"
    assert (
        render_fields(body.model_copy(update={"score": 10000}), language="en", time_zone="UTC")["score_percent"]
        == "100"
    )


@pytest.mark.parametrize(
    "source",
    [
        "{% include 'x' %}", "{% assign x = 1 %}", "{% capture x %}{% endcapture %}", "{{ x | replace: '', 'aaa' }}",
        "{% for i in (1..1000000000) %}x{% endfor %}", "{{ '9e9999' | ceil }}", "{{ 1 | divided_by: 0 }}", "{{ x", "x" * 4001,
    ],
)  # fmt: skip
def test_the_sandbox_refuses(source):
    with pytest.raises(BadText):
        render(source, {"x": "y"})


def test_templates_cannot_reach_python_and_markup_is_escaped():
    assert render("[{{ x.__class__ }}{{ y.z }}]", {"x": "y"}) == "[]"
    assert "<script>" not in render_html_mail("<script>", "a\n<script>", "en")
    assert render_subject("a\n{{ x }}", {"x": "b\r\nBcc: c"}) == "a b Bcc: c"


def test_the_language_is_that_of_the_person_or_the_tenant_or_english():
    assert [select_language(*each) for each in (("zh-CN", "en"), (None, "zh"), ("fr", "de"), ("en", "zh"))] == [
        "zh", "zh", "en", "en",
    ]  # fmt: skip


def test_when_compares_fields():
    body = BandEntered.model_validate(BandEntered.example)

    def rule(**when):
        return Rule(rule="r", on="band.entered", to="agent", when=when)

    assert rule().matches(body)
    assert rule(band="coach", rank=2).matches(body)
    assert rule(band=["watch", "coach"]).matches(body)
    assert not rule(band="watch").matches(body)
    assert not rule(rank=1).matches(body)
    assert not rule(from_band=None).matches(body)
    assert rule(agent_id=str(body.agent_id)).matches(body)


def test_rules_and_texts_are_checked():
    section = NotificationSection.model_validate(
        {
            "rules": [
                {"rule": "a", "on": "band.gone", "to": "agent"},
                {"rule": "a", "on": "band.left", "to": "role:king"},
                {"rule": "c", "on": "band.left", "to": "agent", "text": "mine", "when": {"weather": "fine"}},
            ],
            "texts": {"other": {"en": {"subject": "{{ x | nope }}", "body": "ok"}}},
        }
    )
    assert section.rules is not None
    assert section.texts is not None
    found = [*rule_problems(section.rules, {*DEFAULT_TEXTS, "other"}), *text_problems(section.texts)]
    assert [each.pointer for each in found] == [
        "/rules/0/on", "/rules/1/rule", "/rules/1/to", "/rules/2/text", "/rules/2/when/weather",
        "/texts/other/en/subject",
    ]  # fmt: skip
    assert all(each.cure for each in found)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "fe80::1", "fd00:ec2::254", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_private_addresses_are_not_public(address):
    assert not is_public(ip_address(address))
    assert not UrlPolicy().may_connect("https", ip_address(address))


def test_internet_addresses_are_public():
    assert is_public(ip_address("93.184.216.34"))
    assert is_public(ip_address("2606:2800:220:1:248:1893:25c8:1946"))
    assert not UrlPolicy().may_connect("http", ip_address("93.184.216.34"))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/", "https://user:pw@example.org/", "https://127.0.0.1/", "https://[::1]/", "ftp://example.org",
        "https://example.org:22/", "https://", "nonsense", "https://exa mple.org/", "https://169.254.169.254/latest",
        "https://example.org:99999/", "https://example.org/#x",
    ],
)  # fmt: skip
def test_unsafe_urls_are_refused(url):
    problem = UrlPolicy().find_problem(url)
    assert problem is not None
    assert all(problem)


def test_loopback_only_where_it_is_allowed():
    assert UrlPolicy().find_problem("https://example.org/hook") is None
    assert UrlPolicy(allow_loopback=True).find_problem("http://127.0.0.1:9/x") is None
    assert UrlPolicy(allow_loopback=True).find_problem("http://10.0.0.1:9/x") is not None


def test_the_schedule_of_retries():
    id = uuid4()
    delays = [compute_delay_seconds(attempts, delivery=id) for attempts in range(1, 11)]
    assert delays[-1] is None
    for delay, planned in zip(delays[:-1], SCHEDULE_SECONDS[1:], strict=True):
        assert delay is not None
        assert planned <= delay <= planned * 1.1
    assert compute_delay_seconds(1, delivery=id, retry_after=600) == 600
    assert compute_delay_seconds(1, delivery=id, retry_after=1e9) == 86_400
    assert compute_delay_seconds(1, delivery=id, retry_after=1) == delays[0]


def test_retry_after_is_seconds_or_a_date():
    now = datetime(2026, 3, 2, 8, tzinfo=UTC)
    assert parse_retry_after("120", now) == 120
    assert parse_retry_after("Mon, 02 Mar 2026 08:01:00 GMT", now) == 60
    assert parse_retry_after("Mon, 02 Mar 2026 07:00:00 GMT", now) == 0
    assert parse_retry_after("soon", now) is None
    assert parse_retry_after(None, now) is None


def test_secrets_differ_by_tenant_webhook_and_salt():
    made = {
        derive_signing_secret("k", *each)
        for each in (("t1", "a", "s"), ("t2", "a", "s"), ("t1", "b", "s"), ("t1", "a", "z"))
    }
    assert len(made) == 4
    assert all(each.startswith("whsec_") and len(each) > 40 for each in made)
