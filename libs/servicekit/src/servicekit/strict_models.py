"""Base models for what tenants write: sections of blueprints and request bodies."""

from pydantic import BaseModel, ConfigDict


class StrictModel(BaseModel):
    """A frozen model that rejects unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StrictAliasedModel(StrictModel):
    """A strict model whose fields may be set by their alias or, in code, by their name."""

    model_config = ConfigDict(populate_by_name=True)
