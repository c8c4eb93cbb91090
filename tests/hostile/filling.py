"""A tenant with more than a page of everything, and in each row as much as there may be."""

from dataclasses import dataclass

import psycopg
from contracts import ALL_SERVICES

PEOPLE, ROWS = 1_200, 1_200
TITLE = "jsonb_build_object('en', repeat('Title ', 30), 'de', repeat('Titel ', 30))"
LONG = "jsonb_build_object('text', repeat('Some words. ', 1600))"
AT = "timestamptz '2026-03-01' - n * interval '1 hour'"
DAY = "date '2026-03-01' - n / 1200"
PERSON = "('00000000-0000-7000-8000-' || lpad((n % 1200)::text, 12, '0'))::uuid"
PLACED = {"partition": "0", '"offset"': "n", "topic": "'legs'", "key": "'k'", "tenant": "'acme'"}


@dataclass(frozen=True)
class Fill:
    """`values`: SQL by column, in which `n` counts the rows; other columns are as in `like` (a condition) where there is such
    a row, else what their type has for nothing."""

    table: str
    values: dict[str, str]
    like: str = "tenant = 'acme'"
    rows: int = ROWS


def _person(column: str) -> dict[str, str]:
    slug = "'p' || n"
    state = (
        f"jsonb_build_object('id', {PERSON}, 'slug', {slug}, 'display_name', 'Person ' || repeat('of many names ', 5) || n, "
        f"'logins', jsonb_build_array(jsonb_build_object('iss', 'https://issuer.test', 'sub', {slug})), "
        f"'external_ids', (SELECT jsonb_agg(jsonb_build_object('source', 'calls', 'external_id', {slug} || '-' || m, "
        "'valid_from', date '2020-01-01' + m * 10, 'valid_to', date '2020-01-05' + m * 10)) FROM generate_series(1, 10) m), "
        "'attributes', (SELECT jsonb_agg(jsonb_build_object('name', 'a' || m, 'value', 'some value', "
        "'valid_from', NULL, 'valid_to', NULL)) FROM generate_series(1, 10) m))"
    )
    return {"id": PERSON, "slug": slug, column: f"t.{column} || {state}"}


FILLS = [
    Fill("identity.person", _person("state"), like="slug = 'ada'", rows=PEOPLE),
    *(
        Fill(f"{service.replace('-', '_')}.directory_person", _person("body"), like="slug = 'ada'", rows=PEOPLE)
        for service in ALL_SERVICES[1:]
    ),
    Fill("identity.org_unit", {"id": "gen_random_uuid()", "slug": "'team-' || n", "state": "t.state || jsonb_build_object('slug', 'team-' || n)"}, like="slug = 'team-a'"),
    Fill("identity.audit", {"id": "gen_random_uuid()", "at": AT, "service": "'forms'", "kind": "'form'", "ref": "'f' || n", "action": "'updated'", "by": "'acme/boss'", "actor": "'{\"kind\": \"person\", \"tenant\": \"acme\", \"slug\": \"boss\", \"display_name\": \"Boss\"}'", "before": LONG, "after": LONG, "changed": "'[\"/text\"]'", "notes": "'[]'"}),
    *(
        Fill(f"{service.replace('-', '_')}.dead_letter", {**PLACED, "id": "gen_random_uuid()", "headers": "'{\"ce_type\": \"x\"}'", "value": "convert_to(repeat('some words of a message. ', 5000), 'UTF8')", "error": "repeat('wrong ', 100)", "traceback": "repeat('a line of code ', 300)", "buried_at": AT}, rows=ROWS if service == "kpi-engine" else 20)
        for service in ALL_SERVICES
    ),
    Fill("ingest.source", {"slug": "'source-' || n"}),
    Fill("ingest.held", {"source": "'calls'", "contact": "'c' || n", "root": "'c' || n", "reason": "'unknown_agent'", "waits_for": "array['x']", "since": AT}),
    Fill("ingest.receipt", {"id": "gen_random_uuid()", "received_at": AT}),
    Fill("ingest.record", {"number": "n + 1", "verdict": "'rejected'", "reason": "repeat('It is not so. ', 30)", "cure": "repeat('Make it so. ', 30)"}),
    Fill("kpi_engine.kpi_model", {"version": "n + 1", "document": "t.document || repeat('# a long comment in it\n', 500)"}, like="kpi = 'aht'"),
    Fill("kpi_engine.partial", {"kpi": "'aht'", "agent_id": PERSON, "workday": DAY, "version": "1201", "sample": "20", "components": "array[12345.678, 20]"}, rows=20_000),
    Fill("kpi_engine.fact", {"kind": "'leg'", "id": "gen_random_uuid()", "leg": "1", "version": "1", "agent_id": "ada", "workday": DAY, "started_at": AT, "ended_at": AT, "source": "'calls'", "vendor": "'generic'", "external_id": "'c' || n", "channel": "'voice'", "direction": "'inbound'", "queue": "'q' || n % 40", "answered": "n % 3 > 0", "talk_ms": "60000 + n", "first_leg": "true", "last_leg": "true", "known_at": AT, "attributes": "jsonb_build_object('a', n)", "mode": "'live'"}, rows=3_000),
    Fill("kpi_engine.band_stay", {"id": "gen_random_uuid()", "kpi": "'silence_pct'", "agent_id": PERSON, "band": "'coach'", "entered": "'2026-03-02'", "model_version": "1", "entry": "(SELECT jsonb_agg(jsonb_build_object('window', date '2026-03-02' - m, 'value', '361.25', 'sample', 20, 'band', 'coach')) FROM generate_series(0, 9) m)", "exit": "'[]'", "announced_at": AT}),
    Fill("training.assignment", {"id": "gen_random_uuid()", "agent_id": PERSON, "assigned_at": AT, "status": "'completed'", "completed_at": AT, "rule": "'r1'", "band_event_id": "gen_random_uuid()", "kpi": "'aht'", "band": "'coach'", "occasion": "'o' || n"}),
    Fill("training.band_stay", {"band_event_id": "gen_random_uuid()", "agent_id": PERSON, "kpi": "'aht'", "band": "'coach'", "model_version": "1", "entered_on": DAY, "version": "1", "heard": "'{}'", "windows": "'[]'"}, rows=6_000),
    Fill("training.skipped", {"rule": "'r1'", "occasion": "'o' || n", "agent_id": PERSON, "template": "'intro'", "reason": "'cooldown'", "detail": "repeat('Why it was so. ', 20)", "at": AT}),
    Fill("training.template", {"slug": "'t' || n"}),
    Fill("training.rule", {"slug": "'rule-' || n", "body": "t.body || jsonb_build_object('rule', 'rule-' || n)"}, rows=300),
    Fill("gamification.ledger", {"id": "gen_random_uuid()", "agent_id": PERSON, "rule": "'g1'", "cause": "'c' || n", "occasion": "'o'", "points": "50", "title": TITLE, "at": AT, "earned_on": DAY, "reverses": "NULL", "reason": "repeat('Well done. ', 20)", "detail": "'{}'"}, rows=12_000),
    Fill("gamification.leaderboard", {"slug": "'board-' || n", "body": "t.body || jsonb_build_object('leaderboard', 'board-' || n)"}, rows=300),
    Fill("forms.form", {"form": "'form-' || n", "title": TITLE}),
    Fill("forms.form_version", {"version": "n + 1"}),
    Fill("forms.submission", {"id": "gen_random_uuid()", "submitted_at": AT}),
    Fill("notification.notice", {"id": "gen_random_uuid()", "seq": "n", "person_id": "boss", "rule": "'n1'", "event_id": "gen_random_uuid()", "event_type": "'assignment.assigned'", "in_app": "true", "language": "'en'", "subject": "repeat('News ', 40)", "body": "repeat('What there is to say. ', 90)", "refs": "'{}'", "at": AT}),
    Fill("notification.text", {"key": "'text-' || n", "body": "repeat('Some words. ', 160)"}, rows=190),
    Fill("notification.webhook", {"webhook": "'hook-' || n"}, rows=45),
]  # fmt: skip


def fill(connection: psycopg.Connection) -> None:
    """As whoever owns the database."""
    connection.execute("SET session_replication_role = replica")  # references need not lead anywhere
    people = connection.execute("SELECT slug, id FROM identity.person WHERE slug IN ('ada', 'boss')").fetchall()
    ids = {f"{slug}": f"'{found}'::uuid" for slug, found in people}
    for each in FILLS:
        schema, _, table = each.table.partition(".")
        columns = connection.execute(
            "SELECT column_name, udt_name, is_nullable = 'YES' OR is_identity = 'YES' OR column_default IS NOT NULL "
            "FROM information_schema.columns WHERE table_schema = %s AND table_name = %s AND is_generated = 'NEVER' "
            "AND coalesce(identity_generation, '') <> 'ALWAYS'",
            (schema, table),
        ).fetchall()
        known = {name for name, _, _ in columns}
        template = connection.execute(f"SELECT count(*) FROM {each.table} WHERE {each.like}").fetchone()  # pyright: ignore[reportArgumentType, reportCallIssue]
        values = {name.strip('"'): ids.get(value, value) for name, value in each.values.items()}
        assert template is not None
        if template[0]:
            values = {f'"{name}"': values.get(name, f't."{name}"') for name in known}
        else:
            values = {"tenant": "'acme'", **{name: value for name, value in values.items() if name in known}}
            nothing = {"bool": "false", "text": "''", "jsonb": "'{}'", "int4": "0", "int8": "0"}
            values = {
                f'"{name}"': values.get(name, nothing.get(kind, "NULL"))
                for name, kind, optional in columns
                if name in values or not optional
            }
        source = f"(SELECT * FROM {each.table} WHERE {each.like} LIMIT 1) t, " if template[0] else ""
        connection.execute(
            f"INSERT INTO {each.table} ({', '.join(values)}) SELECT {', '.join(values.values())} "  # pyright: ignore[reportArgumentType, reportCallIssue]
            f"FROM {source}generate_series(1, {each.rows}) n ON CONFLICT DO NOTHING"
        )
    connection.execute("SET session_replication_role = DEFAULT")
    connection.execute("ANALYZE")
