"""What the audit log keeps of a state: readable, of bounded size, without secrets and without how people are reached."""

import json

import pytest
from servicekit.masking import MAX_CHANGED_POINTERS, MAX_STATE_CHARACTERS, StateMasker, find_changed_pointers

MARK = "hUnTeR2"


@pytest.mark.parametrize(
    "state",
    [
        {"client_secret": MARK},
        {"clientSecret": MARK},
        {"API-Key": MARK},
        {"apikey": MARK},
        {"key": MARK},
        {"signingKeys": [MARK, MARK]},
        {"password": {"value": MARK}},
        {"user_passwd": 4711, "x": {"refresh_token": [{"a": [MARK]}]}},
        {"headers": [{"name": "X-Api-Token", "value": MARK}]},
        {"headers": [{"header": "Authorization", "value": [MARK]}]},
        {"url": f"https://user:{MARK}@example.org/hook"},
        {"url": f"https://example.org/hook?sig={MARK}&b=1"},
        {"url": f"https://example.org/hook?{MARK}"},
        {"url": f"https://example.org/hook#{MARK}"},
        {"url": f"https://hooks.example.org/services/T01/B0000000000001{MARK}0000/x"},
        {"text": f"send it with Bearer {MARK}{MARK}"},
        {"text": f"password: {MARK}, or token={MARK}"},
        {"text": f'{{"client_secret": "{MARK}"}}'},
        {"text": f"eyJhbGciOi.{MARK}.{MARK}"},
        {"text": f"-----BEGIN RSA PRIVATE KEY-----\n{MARK}\n-----END RSA PRIVATE KEY-----"},
        {"text": f"-----BEGIN PRIVATE KEY-----\n{MARK}"},
        {"to": [f"{MARK}@example.org"], "sender": f"Name <{MARK}@mail.example.org>"},
        {f"{MARK}@example.org": 1},
        {"mobile_phone": MARK, "phones": [MARK]},
        {"text": "x" * 1990 + f" https://example.org/?a={MARK}"},
    ],
)
def test_secrets_and_addresses_are_masked_wherever_they_stand(state: dict) -> None:
    told = json.dumps(StateMasker().mask(state), ensure_ascii=False)
    assert MARK not in told
    assert "4711" not in told
    assert json.loads(told).keys() or True


@pytest.mark.parametrize("number", ["+49 30 1234567", "+1 (555) 010-9999", "0049301234567", "+4915112345678"])
def test_telephone_numbers_are_masked(number: str) -> None:
    assert StateMasker().mask({"text": f"call {number} now"}) == {"text": "call *** now"}


def test_what_is_no_secret_stays_as_it_is() -> None:
    state = {
        "rule": "r1", "kpi": "avg(talk_ms) / 1000 + 86400000", "due_days": 7, "share": 0.5, "active": True, "none": None,
        "keyword": "help", "monkey": "m", "turnkey_offer": "x", "on": "2026-03-02T08:00:00+01:00", "url": "https://example.org/hook",
        "id": "0197c0de-0000-7000-8000-000000000001", "title": {"en": "Coach", "zh": "教练"}, "list": [1, [2, {"a": "b"}]],
        "new_secret": True, "secret": None,
    }  # fmt: skip
    assert StateMasker().mask(state) == state


def test_a_large_state_is_cut_and_says_so() -> None:
    readable = StateMasker()
    copy = readable.mask({"text": "x" * 5000, "rows": [{"n": n, "text": "some words"} for n in range(100_000)]})
    assert len(json.dumps(copy)) < 3 * MAX_STATE_CHARACTERS
    assert copy["text"].endswith("… (5,000 characters)")
    assert copy["rows"][-1].startswith("… 9")
    assert readable.describe_cuts("after") == [
        "after: texts that were cut: 2",  # and the one at which there was no more room
        "after: lists and objects that were cut: 1",
    ]


def test_what_cannot_be_stored_or_is_deep_is_taken_all_the_same() -> None:
    deep: dict = {}
    for _ in range(500):
        deep = {"a": deep}
    copy = StateMasker().mask({"nul": "a\x00b", "half": "\ud800", "deep": deep, "\x00": 1})
    assert (copy["nul"], copy["half"]) == ("a\ufffdb", "?")
    json.dumps(copy).encode()


def test_differences_are_pointers_also_to_what_is_masked() -> None:
    before = {"a": 1, "b": {"c/d": [1, 2, 3]}, "secret": "x", "same": [1]}
    after = {"a": 1, "b": {"c/d": [1, 5, 3, 4]}, "secret": "y", "same": [1], "new": None}
    assert find_changed_pointers(before, after) == ["/b/c~1d/1", "/b/c~1d/3", "/secret", "/new"]
    assert find_changed_pointers({}, {}) == []
    many = find_changed_pointers([0] * 100, [1] * 100)
    assert (len(many), many[-1]) == (MAX_CHANGED_POINTERS + 1, "…")
