"""The configuration of a source, checked when it is saved. This is also the format of the blueprint's section."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.section_names import Names
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from servicekit.blueprints.checking import SectionCheck, diff_sections
from servicekit.errors import FieldProblem
from servicekit.validation_problems import find_validation_problems

from ingest.model.connector import RecordFormat, Setting, list_columns
from ingest.model.field_readers import ReadContext
from ingest.model.refusal import Refusal
from ingest.model.registry import CONNECTORS, Vendor

SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"


def _vendors_with(setting: Setting, conjunction: str = "and") -> str:
    return f" {conjunction} ".join(each.vendor for each in CONNECTORS.values() if each.setting == setting)


class SourceSpec(BaseModel):  # noqa: D101 - the docstring names the vendors, and is computed
    __doc__ = (
        f"A configured instance of a vendor. `options` are of {_vendors_with('options')}, "
        f"`mapping` is of {_vendors_with('mapping')}."
    )

    model_config = ConfigDict(extra="forbid")

    vendor: Vendor
    title: str = Field(default="", max_length=200)
    status: Literal["active", "paused"] = "active"
    options: dict[str, Any] = {}
    mapping: dict[str, Any] | None = None


class NamedSource(SourceSpec):
    """A source of a blueprint. `source` is its name."""

    source: str = Field(pattern=SLUG)

    def values(self) -> dict[str, Any]:
        """The source as it is stored and exported; without a title, its name is the title."""
        return self.model_dump() | {"title": self.title or self.source}


class Section(BaseModel):
    """The section `ingest` of a blueprint."""

    model_config = ConfigDict(extra="forbid")

    sources: list[NamedSource] = []

    def problems(self, present: Mapping[str, str]) -> list[FieldProblem]:
        """All problems of the section. `present`: the vendor of each existing source, by the source's name."""
        found: list[FieldProblem] = []
        seen: set[str] = set()
        for index, named in enumerate(self.sources):
            at = f"/sources/{index}"
            if named.source in seen:
                found.append(
                    FieldProblem(
                        pointer=f"{at}/source",
                        problem="This source occurs twice.",
                        cure="Give one of them another name.",
                    )
                )
            seen.add(named.source)
            if present.get(named.source, named.vendor) != named.vendor:
                reason = f"The source is of vendor {present[named.source]}."
                found.append(FieldProblem(pointer=f"{at}/vendor", problem=reason, cure="Use another name."))
            try:
                build_source(named.source, named)
            except Refusal as refusal:
                found.append(FieldProblem(pointer=f"{at}{refusal.field}", problem=refusal.reason, cure=refusal.cure))
        return found


@dataclass(frozen=True)
class Source:
    """A source ready to read, with the format of its records."""

    slug: str
    vendor: str
    status: str
    format: RecordFormat

    def reading(self, now_ms: int, secret: bytes) -> ReadContext:
        """The context to read its records in. `now_ms`: since 1970 UTC; `secret`: the key of the tenant's customer hashes."""
        return ReadContext(now_ms, secret, self.format.zone)

    def check_columns(self, columns: Sequence[str], separator: str) -> None:
        """Raises Refusal for the columns of a CSV file of which no row could be accepted."""
        if self.format.check_columns is None:
            reason = f"The source is of vendor {self.vendor}, whose records are JSON; this is CSV with {list_columns(columns)}."
            other = f"send the file to a source of vendor {_vendors_with('mapping', 'or')} with a mapping."
            raise Refusal("", reason, f"Send the vendor's records as they are, or {other}")
        self.format.check_columns(columns, separator)


def build_source(slug: str, spec: SourceSpec) -> Source:
    """The source, ready to read. Raises Refusal, whose field is a JSON pointer, for invalid options or an invalid mapping."""
    connector = CONNECTORS[spec.vendor]
    if connector.setting == "mapping":
        if spec.options:
            raise Refusal("/options", f"A {spec.vendor} source has no options.", "Say it in `mapping`.")
        if spec.mapping is None:
            raise Refusal("/mapping", "It is missing.", f"A {spec.vendor} source needs a mapping of its columns.")
        config = spec.mapping
    else:
        if spec.mapping is not None:
            raise Refusal("/mapping", f"Only a {_vendors_with('mapping', 'or')} source has a mapping.", "Leave it out.")
        config = spec.options
    try:
        return Source(slug, spec.vendor, spec.status, connector.configure(config))
    except Refusal as refusal:
        refusal.field = f"/{connector.setting}{refusal.field}".rstrip("/")
        raise


def check_section(content: dict[str, Any] | None, present: dict[str, Any], names: Names) -> SectionCheck:
    """What a section would change, or its problems (`servicekit.blueprints.checking.SectionChecker`). `present` is the
    section as it is now. Sources name nothing of another service, so `names` is not read."""
    if content is None:
        return SectionCheck()
    try:
        section = Section.model_validate(content)
    except ValidationError as error:
        return SectionCheck(problems=find_validation_problems(error, content, Section))
    before = {each["source"]: each for each in present["sources"]}
    after = before | {each.source: each.values() for each in section.sources}
    return SectionCheck(
        problems=section.problems({name: each["vendor"] for name, each in before.items()}),
        changes=diff_sections(present, {"sources": list(after.values())}),
    )
