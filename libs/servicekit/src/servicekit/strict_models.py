"""Models of what tenants write: sections of blueprints and bodies of requests."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A frozen model that refuses unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrictAliasedModel(StrictModel):
    """A strict model whose fields may be written by their alias and, in code, by their name."""

    model_config = ConfigDict(populate_by_name=True)
