"""Applies facts: staged by COPY, compared by version and written in a few statements per batch."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from contracts import Event
from contracts.legs import AgentStateChanged, LegRecorded
from contracts.submissions import SubmissionScored
from storage import Session, lock_sql

from kpi_engine.store.tables import FACT_COLUMNS

NO_AGENT_ID = UUID(int=0)
MAX_QUICK_FACTS = 5000
"""Up to so many facts a model is computed within a request."""


class FactReader:
    """Turns the JSON of one event type into rows of `columns` for COPY.

    Ids, instants and days stay text (PostgreSQL reads and checks them), nested values stay JSON.
    """

    def __init__(self, event: type[Event], kind: str, renamed: dict[str, str]) -> None:
        names = {name: renamed.get(name, name) for name in event.model_fields}
        known = {name: column for name, column in names.items() if column in FACT_COLUMNS}
        self.columns = ("tenant", "kind", *known.values())
        self._prefix = (kind,)
        self._converters: list[tuple[int, Callable[[str], str | None]]] = []
        fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
        for place, (name, column) in enumerate(known.items()):
            field = event.model_fields[name]
            if column in ("gaps", "attributes"):
                self._converters.append((place, _array if column == "gaps" else _json))
                fields.append((name, msgspec.Raw, msgspec.Raw(b"null")))
            elif field.is_required():
                fields.append((name, _wire_type(field.annotation)))
            else:
                fields.append((name, _wire_type(field.annotation), field.default))
        # Keyword-only fields may stand in any order; astuple() gives them in this one.
        shape = msgspec.defstruct(f"{event.__name__}Row", fields, kw_only=True)
        self._decoder = msgspec.json.Decoder(shape)

    def decode_row(self, tenant: str, raw: bytes) -> tuple[Any, ...]:
        """The row of an event. Raises msgspec.ValidationError for JSON that does not fit the event type."""
        values = msgspec.structs.astuple(self._decoder.decode(raw))
        if self._converters:
            converted = list(values)
            for place, convert in self._converters:
                converted[place] = convert(bytes(converted[place]).decode())
            values = tuple(converted)
        return (tenant, *self._prefix, *values)


def _array(text: str) -> str | None:
    return None if text == "null" else text.replace("[", "{").replace("]", "}")


def _json(text: str) -> str | None:
    return None if text in ("null", "{}") else text


def _wire_type(annotation: Any) -> Any:
    kinds = get_args(annotation) or (annotation,)
    plain = [kind for kind in kinds if kind in (int, bool)]
    base = plain[0] if plain else str
    return base | None if type(None) in kinds else base


FACT_READERS: dict[str, FactReader] = {
    LegRecorded.type: FactReader(LegRecorded, "legs", {"interaction_id": "id"}),
    AgentStateChanged.type: FactReader(AgentStateChanged, "agent_states", {"state_id": "id"}),
    SubmissionScored.type: FactReader(
        SubmissionScored,
        "submissions",
        {
            "submission_id": "id",
            "score": "qa_score",
            "answers": "attributes",
            "submitted_at": "started_at",
            "interaction_id": "call_id",
            "leg": "call_leg",
        },
    ),
}

SUBMISSION_READER = FACT_READERS[SubmissionScored.type]

_COLUMNS = ", ".join(FACT_COLUMNS)
_KEY = ("tenant", "kind", "id", "leg")
# An existing row is locked by the conflict and not changed.
_LOCKING = "ON CONFLICT (tenant, agent_id) DO UPDATE SET agent_id = excluded.agent_id WHERE false"
# A batch takes shared locks on its tenants' models, unless they are being changed, and on their calls. A batch of
# submissions takes the calls exclusively: it looks up calls while batches of calls look up submissions. One statement.
_PREPARE_BATCH = """
SELECT t AS tenant, {models} AS shared, to_regclass('pg_temp.change_fact') IS NOT NULL AS staged, {calls} AS calls
FROM unnest(cast(:tenants AS text[])) AS t
"""
_PREPARE_SHARED, _PREPARE_EXCLUSIVE = (
    _PREPARE_BATCH.format(
        models=lock_sql("'kpi-engine models ' || t", shared=True, wait=False),
        calls=lock_sql("'kpi-engine calls ' || t", shared=shared),
    )
    for shared in (True, False)
)
# The temporary tables live as long as the connection, their rows until the commit.
_STAGE = """
DO $$ BEGIN
    CREATE TEMP TABLE stage_fact (LIKE fact INCLUDING DEFAULTS) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE change_fact (sign integer, LIKE fact) ON COMMIT DELETE ROWS;
END $$
"""
# Facts are locked before agents, both in sorted order. Rows that an earlier part of the transaction staged are applied
# already and change nothing; the changes it made are in the partials already and are deleted.
_APPLY = f"""
WITH newest AS (
    SELECT DISTINCT ON (tenant, kind, id, leg) * FROM stage_fact ORDER BY tenant, kind, id, leg, version DESC
), applied AS (
    INSERT INTO fact AS f ({_COLUMNS})
    SELECT {_COLUMNS} FROM newest ORDER BY tenant, kind, id, leg
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE
    SET {", ".join(f"{name} = excluded.{name}" for name in FACT_COLUMNS if name not in _KEY)}
    WHERE f.version < excluded.version
    RETURNING old AS before, new AS after
), counted AS (
    DELETE FROM change_fact
), changed AS (
    INSERT INTO change_fact
    SELECT -1, (before).* FROM applied WHERE (before).tenant IS NOT NULL
    UNION ALL
    SELECT 1, (after).* FROM applied
    RETURNING sign, tenant, kind, agent_id, void
), locked AS (
    INSERT INTO agent_lock (tenant, agent_id)
    SELECT DISTINCT tenant, coalesce(agent_id, :no_agent) FROM changed WHERE NOT void ORDER BY 1, 2
    {_LOCKING}
)
SELECT tenant, kind, count(*) FILTER (WHERE sign = -1) AS superseded, count(*) FILTER (WHERE sign = 1) AS current,
       bool_or(NOT void) AS touched, kind = 'legs' AND EXISTS (
           SELECT FROM fact s WHERE s.tenant = changed.tenant AND s.call_id IS NOT NULL) AS judged
FROM changed GROUP BY tenant, kind ORDER BY tenant, kind
"""  # noqa: S608
# The leg that a submission `s` evaluates: the one it names; else the first of its agent, or the first of anybody where all
# legs of the call are one person's. It depends only on the submission and the current legs.
_EVALUATED_LEG = """
SELECT l.agent_id, l.workday FROM fact l
WHERE l.tenant = s.tenant AND l.kind = 'legs' AND l.id = s.call_id AND NOT l.void AND l.agent_id IS NOT NULL AND CASE
    WHEN s.call_leg IS NOT NULL THEN l.leg = s.call_leg
    ELSE l.agent_id = s.named_agent_id OR NOT EXISTS (
        SELECT FROM fact o WHERE o.tenant = l.tenant AND o.kind = 'legs' AND o.id = l.id AND NOT o.void
        AND o.agent_id <> l.agent_id) END
ORDER BY (l.agent_id = s.named_agent_id) DESC, l.leg LIMIT 1
"""
_RESOLVED_SUBMISSIONS = f"""
SELECT s.tenant, s.kind, s.id, s.leg, s.version, coalesce(c.agent_id, s.named_agent_id) AS agent_id,
       coalesce(c.workday, s.named_workday) AS workday, CASE WHEN c.agent_id IS NULL THEN 'unknown_call' END AS held
FROM {{facts}} s LEFT JOIN LATERAL ({_EVALUATED_LEG}) AS c ON true
"""  # noqa: S608
_SET_NAMED_AGENT = """
UPDATE stage_fact SET named_agent_id = agent_id, named_workday = workday
WHERE call_id IS NOT NULL AND named_agent_id IS NULL  -- an earlier part of the transaction may have staged some
"""
_FIND_CALLS = f"""
UPDATE stage_fact f SET agent_id = j.agent_id, workday = j.workday, held = j.held
FROM ({_RESOLVED_SUBMISSIONS.format(facts="stage_fact")} WHERE s.call_id IS NOT NULL) AS j
WHERE f.tenant = j.tenant AND f.kind = j.kind AND f.id = j.id AND f.leg = j.leg AND f.version = j.version
"""  # noqa: S608
_FOLLOW_CALLS = f"""
WITH judged AS (
    {_RESOLVED_SUBMISSIONS.format(facts="fact")}
    WHERE s.kind = 'submissions' AND (s.tenant, s.call_id) IN (SELECT tenant, id FROM change_fact WHERE kind = 'legs')
), applied AS (
    UPDATE fact f SET agent_id = j.agent_id, workday = j.workday, held = j.held FROM judged j
    WHERE f.tenant = j.tenant AND f.kind = j.kind AND f.id = j.id AND f.leg = j.leg
    AND (f.agent_id, f.workday, f.held) IS DISTINCT FROM (j.agent_id, j.workday, j.held)
    RETURNING old AS before, new AS after
), changed AS (
    INSERT INTO change_fact SELECT -1, (before).* FROM applied UNION ALL SELECT 1, (after).* FROM applied
    RETURNING tenant, agent_id, void
), locked AS (
    INSERT INTO agent_lock (tenant, agent_id) SELECT DISTINCT tenant, agent_id FROM changed WHERE NOT void ORDER BY 1, 2
    {_LOCKING}
)
SELECT DISTINCT tenant FROM changed WHERE NOT void ORDER BY tenant
"""  # noqa: S608
_INSERT_SUPERSEDED = f"""
INSERT INTO fact_version ({_COLUMNS}) SELECT {_COLUMNS} FROM change_fact WHERE sign = -1 ON CONFLICT DO NOTHING
"""  # noqa: S608
_INSERT_LATE = f"""
INSERT INTO fact_version ({_COLUMNS})
SELECT {", ".join(f"s.{name}" for name in FACT_COLUMNS)} FROM stage_fact s JOIN fact f USING ({", ".join(_KEY)}) WHERE s.version < f.version ON CONFLICT DO NOTHING
"""  # noqa: S608


async def prepare_batch(session: Session, tenants: Iterable[str], *, submissions: bool = False) -> set[str]:
    """Takes shared locks on the models of these tenants until the end of the transaction and creates the staging tables.
    Returns the tenants whose models are being changed: these are not locked, and the call does not wait for them.
    `submissions`: whether the batch has any."""
    statement = _PREPARE_EXCLUSIVE if submissions else _PREPARE_SHARED
    found = await session.rows(statement, {"tenants": sorted(set(tenants))})
    if found and not found[0]["staged"]:
        await session.run(_STAGE)
    return {row["tenant"] for row in found if not row["shared"]}


async def apply_facts(
    session: Session, rows: Iterable[tuple[FactReader, tuple[Any, ...]]], *, known_at: Mapping[str, datetime]
) -> list[tuple[str, str]]:
    """Inserts and updates facts; call `prepare_batch` before. `known_at`: the instant of the batch, by tenant.

    Returns the (tenant, kind) of facts that changed. The changes are in the temporary table `change_fact` until the commit:
    `sign` -1 for the version before, 1 for the version now. Locks the changed facts, then their agents, in sorted order.
    """
    by_reader: dict[int, tuple[FactReader, list[tuple[Any, ...]]]] = {}
    for reader, row in rows:
        by_reader.setdefault(id(reader), (reader, []))[1].append((*row, known_at[row[0]]))
    staged = 0
    for reader, found in by_reader.values():
        await session.copy_rows("stage_fact", [*reader.columns, "known_at"], found)
        staged += len(found)
    if id(SUBMISSION_READER) in by_reader:
        await session.run(_SET_NAMED_AGENT)
        await session.run(_FIND_CALLS)
    found = await session.rows(_APPLY, {"no_agent": NO_AGENT_ID})
    if any(row["superseded"] for row in found):
        await session.run(_INSERT_SUPERSEDED)
    if sum(row["current"] for row in found) < staged:
        await session.run(_INSERT_LATE)
    touched = [(row["tenant"], row["kind"]) for row in found if row["touched"]]
    if any(row["judged"] for row in found):
        followed = [(tenant, "submissions") for tenant in await session.scalars(_FOLLOW_CALLS)]
        touched = sorted({*touched, *followed})
    return touched


async def lock_agents(session: Session, agents: Iterable[tuple[str, UUID]]) -> None:
    """Locks the values and bands of these agents, by (tenant, agent), until the end of the transaction."""
    ordered = sorted(set(agents))
    if not ordered:
        return
    await session.run(
        _LOCK_AGENTS, {"tenants": [tenant for tenant, _ in ordered], "agents": [agent for _, agent in ordered]}
    )


_LOCK_AGENTS = f"""
INSERT INTO agent_lock (tenant, agent_id)
SELECT t, a FROM unnest(cast(:tenants AS text[]), cast(:agents AS uuid[])) AS w (t, a) ORDER BY t, a
{_LOCKING}
"""  # noqa: S608


async def try_lock_models_shared(session: Session) -> bool:
    """Takes the shared lock on the models of the session's tenant. False when they are being changed."""
    return await session.try_lock(_models_key(session), shared=True)


async def try_lock_models_if_small(session: Session) -> bool:
    """Takes the exclusive lock on the models of the session's tenant, if nobody holds it and the tenant has at most
    `MAX_QUICK_FACTS` facts. Returns whether it did."""
    return await has_few_facts(session) and await session.try_lock(_models_key(session))


async def has_few_facts(session: Session) -> bool:
    """Whether the session's tenant has at most `MAX_QUICK_FACTS` facts."""
    found = await session.scalar(
        "SELECT count(*) FROM (SELECT FROM fact WHERE tenant = :tenant LIMIT :few + 1) AS found",
        {"tenant": session.tenant, "few": MAX_QUICK_FACTS},
    )
    return int(found) <= MAX_QUICK_FACTS


async def lock_models(session: Session, *, for_change: bool) -> None:
    """Takes the lock on the models of the session's tenant, and waits for it: shared for a batch, exclusive for a change."""
    await session.lock_key(_models_key(session), shared=not for_change)


def _models_key(session: Session) -> str:
    return f"models {session.tenant}"
