"""The revisions of training's schema."""
