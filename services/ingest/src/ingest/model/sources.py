"""The configuration of a source, checked when it is saved. This is also the format of the blueprint's section."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from contracts.section_names import Names
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from servicekit.blueprints.checking import SectionCheck, diff_sections
from servicekit.errors import FieldProblem
from servicekit.validation_problems import find_validation_problems

from ingest.model import amazon_connect, columns, generic
from ingest.model.config_errors import convert_config
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Part, StateNotice
from ingest.model.payload.layout import DEFAULT_LAYOUT, Layout
from ingest.model.refusal import Refusal

SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"
Vendor = Literal["amazon-connect", "generic"]


class SourceSpec(BaseModel):
    """A configured instance of a vendor. `options` are of amazon-connect, `mapping` is of generic."""

    model_config = ConfigDict(extra="forbid")

    vendor: Vendor
    title: str = Field(default="", max_length=200)
    status: Literal["active", "paused"] = "active"
    options: dict[str, Any] = {}
    mapping: dict[str, Any] | None = None


class NamedSource(SourceSpec):
    source: str = Field(pattern=SLUG)

    def values(self) -> dict[str, Any]:
        """As it is kept and exported; without a title it bears its name."""
        return self.model_dump() | {"title": self.title or self.source}


class Section(BaseModel):
    """The section `ingest` of a blueprint."""

    model_config = ConfigDict(extra="forbid")

    sources: list[NamedSource] = []

    def problems(self, present: Mapping[str, str]) -> list[FieldProblem]:
        """All that is wrong with it beside the sources that are there: the vendor of each by name."""
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


Reader = Callable[[dict[str, Any], ReadContext], Part | StateNotice]


@dataclass(frozen=True)
class Source:
    """A source ready to read. `open_without_end`: a record without end is of a call that goes on. `check_columns` raises
    Refusal for the columns of a CSV file, and what separates them, of which no row could be taken. `unstamped`: the
    column of the contact's id, where records do not say when they were written: then a record may not only correct the one
    before it, but tell of another part of the call. `layout`: the form of its files."""

    slug: str
    vendor: str
    status: str
    read: Reader
    zone: str | None
    open_without_end: bool
    check_columns: Callable[[Sequence[str], str], None]
    unstamped_id_column: str | None = None
    layout: Layout = DEFAULT_LAYOUT

    def reading(self, now_ms: int, secret: bytes) -> ReadContext:
        return ReadContext(now_ms, secret, generic.parse_zone(self.zone, "/time_zone"))


def build_source(slug: str, spec: SourceSpec) -> Source:
    """Raises Refusal, whose field is a JSON pointer, for options or a mapping that cannot be used."""
    if spec.vendor == "generic":
        if spec.options:
            raise Refusal("/options", "A generic source has no options.", "Say it in `mapping`.")
        if spec.mapping is None:
            raise Refusal("/mapping", "It is missing.", "A generic source needs a mapping of its columns.")
        try:
            mapping = generic.parse_mapping(spec.mapping)
        except Refusal as refusal:
            refusal.field = f"/mapping{refusal.field}".rstrip("/")
            raise
        return Source(
            slug,
            spec.vendor,
            spec.status,
            lambda row, reading: generic.read(row, reading, mapping),
            mapping.zone,
            False,
            lambda names, separator: columns.check_columns(mapping, names, separator),
            None if "updated" in mapping.fields else mapping.fields["contact"].column or "contact",
            generic.build_layout(mapping),
        )
    if spec.mapping is not None:
        raise Refusal("/mapping", "Only a generic source has a mapping.", "Leave it out.")
    try:
        options = convert_config(spec.options, amazon_connect.Options)
    except Refusal as refusal:
        refusal.field = f"/options{refusal.field}".rstrip("/")
        raise
    generic.parse_zone(options.time_zone, "/options/time_zone")
    return Source(
        slug,
        spec.vendor,
        spec.status,
        lambda row, reading: amazon_connect.read(row, reading, options),
        options.time_zone,
        True,
        lambda names, separator: columns.refuse_csv(spec.vendor, names),
    )


def parse_section(content: dict[str, Any], present: Mapping[str, str]) -> tuple[Section, list[FieldProblem]]:
    """The section and all that is wrong with it, beside the sources that are there: the vendor of each by name."""
    try:
        section = Section.model_validate(content)
    except ValidationError as error:
        return Section(), find_validation_problems(error, content, Section)
    return section, section.problems(present)


def check_section(content: dict[str, Any] | None, present: dict[str, Any], names: Names) -> SectionCheck:
    """As `servicekit.blueprints.checking.SectionChecker` wants it; `present`: the section as it is. Sources name nothing that
    is another service's."""
    if content is None:
        return SectionCheck()
    before = {each["source"]: each for each in present["sources"]}
    section, problems = parse_section(content, {name: each["vendor"] for name, each in before.items()})
    after = before | {each.source: each.values() for each in section.sources}
    return SectionCheck(problems=problems, changes=diff_sections(present, {"sources": list(after.values())}))
