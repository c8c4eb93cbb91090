"""A tenant's rules, texts and webhooks, and the blueprint section that holds them."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, get_args

from contracts import Event
from contracts.directory import Role
from pydantic import Field, StringConstraints
from servicekit.errors import FieldProblem
from servicekit.json_types import is_array
from servicekit.outbound import UrlPolicy
from servicekit.strict_models import StrictModel

from notification.model.events import EVENTS, EventName, render_fields
from notification.model.templates import BadText, render, render_subject

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=80)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=80)]
MAX_RULES = MAX_TEXTS = 200
Scalar = str | bool | int
Language = Literal["en", "zh"]


class Rule(StrictModel):
    """On event `on`, tell `to` by `channels` what the text `text` says; left out, the text bears the event's name.

    `to`: `agent` (the one the event is about), `leads` (the team leads over the agent's org units, now), or
    `role:<role>` (whoever has the role now; where it is granted over an org unit, for agents of that unit only).
    `when`: fields of the event and the value, or one of the values, that each must have.
    """

    rule: Slug
    on: EventName
    to: str
    channels: list[Literal["in_app", "email"]] = Field(default=["in_app"], min_length=1, max_length=2)
    text: Key | None = None
    when: dict[str, Scalar | list[Scalar] | None] = {}

    @property
    def text_key(self) -> str:
        """The name of the text; by default the event's type."""
        return self.text or self.on

    def matches(self, body: Event) -> bool:
        """Whether the event has every value that `when` requires."""
        return all(_value_matches(getattr(body, name, None), required) for name, required in self.when.items())


def _value_matches(value: Any, required: Any) -> bool:
    if is_array(required):
        return any(_value_matches(value, each) for each in required)
    if isinstance(value, bool) or isinstance(required, bool) or value is None or required is None:
        return value is required
    return str(value) == str(required)


class Text(StrictModel):
    """Liquid templates of plain text. They know the event's fields, `agent.name`, `person.name` (the reader),
    `to_self` and `tenant.name`."""

    subject: str = Field(min_length=1, max_length=1_000)
    body: str = Field(min_length=1, max_length=4_000)


Texts = dict[Key, Annotated[dict[Language, Text], Field(min_length=1)]]


class Webhook(StrictModel):
    """An endpoint of the tenant. `events`: types, or `*` for all. The secret is no part of it."""

    webhook: Slug
    url: str = Field(max_length=2_000)
    events: list[str] = Field(min_length=1, max_length=50)
    enabled: bool = True


class NotificationSection(StrictModel):
    """The section `notification` of a blueprint. A part that is left out stays as it is; a part that is given is the
    whole of it: what it does not name is removed."""

    rules: list[Rule] | None = Field(default=None, max_length=MAX_RULES)
    texts: Texts | None = Field(default=None, max_length=MAX_TEXTS)
    webhooks: list[Webhook] | None = Field(default=None, max_length=50)

    def content(self) -> dict[str, Any]:
        """The section as it is exported."""
        return self.model_dump(mode="json", exclude_none=True)


def rule_problems(rules: list[Rule], known_texts: set[str]) -> Iterator[FieldProblem]:
    """All problems of the rules. `known_texts`: keys of the tenant's own texts and of the product's."""
    seen: set[str] = set()
    for number, rule in enumerate(rules):
        if rule.rule in seen:
            yield FieldProblem(pointer=f"/rules/{number}/rule", problem="twice the same name", cure="another name")
        seen.add(rule.rule)
        kind, _, role = rule.to.partition(":")
        if not (rule.to in ("agent", "leads") or (kind == "role" and role in get_args(Role))):
            yield FieldProblem(
                pointer=f"/rules/{number}/to",
                problem=f"`{rule.to}` names nobody",
                cure="agent, leads, or role: with one of " + ", ".join(get_args(Role)),
            )
        body = EVENTS.get(rule.on)
        if body is None:
            yield FieldProblem(pointer=f"/rules/{number}/on", problem=f"no event `{rule.on}`", cure=one_of(EVENTS))
            continue
        if rule.text_key not in known_texts:
            yield FieldProblem(
                pointer=f"/rules/{number}/text", problem=f"no text `{rule.text_key}`", cure=one_of(known_texts)
            )
        for name in rule.when:
            if name not in body.model_fields:
                yield FieldProblem(
                    pointer=f"/rules/{number}/when/{name}",
                    problem=f"`{rule.on}` has no such field",
                    cure=one_of(body.model_fields),
                )


def text_problems(texts: dict[str, dict[Any, Text]]) -> list[FieldProblem]:
    """All problems of the texts. Each is rendered with the example of the event that its key names, or of every event."""
    return [
        FieldProblem(pointer=f"/texts/{key}/{language}/{part}", problem=problem, cure="mend the Liquid template")
        for key, languages in texts.items()
        for language, text in languages.items()
        for part, source in (("subject", text.subject), ("body", text.body))
        if (
            problem := _find_template_problem(
                source, [EVENTS[key]] if key in EVENTS else list(EVENTS.values()), language, part
            )
        )
    ]


def _find_template_problem(source: str, events: list[type[Event]], language: Language, part: str) -> str | None:
    try:
        for each in events:
            body = each.model_validate(each.example)
            context = render_fields(body, language=language, time_zone="UTC") | EXAMPLE_CONTEXT
            (render_subject if part == "subject" else render)(source, context)
    except BadText as error:
        return str(error)
    return None


EXAMPLE_CONTEXT = {
    "agent": {"name": "Ada"}, "person": {"name": "Ada"}, "tenant": {"name": "Demo"}, "to_self": True,
}  # fmt: skip


def webhook_problems(webhooks: list[Webhook], policy: UrlPolicy) -> Iterator[FieldProblem]:
    """All problems of the webhooks: duplicate names, URLs that the policy refuses, and unknown events."""
    seen: set[str] = set()
    for number, each in enumerate(webhooks):
        if each.webhook in seen:
            yield FieldProblem(
                pointer=f"/webhooks/{number}/webhook", problem="twice the same name", cure="another name"
            )
        seen.add(each.webhook)
        if problem := policy.find_problem(each.url):
            yield FieldProblem(pointer=f"/webhooks/{number}/url", problem=problem[0], cure=problem[1])
        for index, event in enumerate(each.events):
            if event != "*" and event not in EVENTS:
                yield FieldProblem(
                    pointer=f"/webhooks/{number}/events/{index}",
                    problem=f"no event `{event}`",
                    cure="* or " + one_of(EVENTS),
                )


def one_of(names: Iterable[str]) -> str:
    """The cure that lists all names."""
    return "one of: " + ", ".join(sorted(names))
