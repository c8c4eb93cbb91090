"""Default titles of bands."""

from collections.abc import Mapping

BAND_TITLES: Mapping[str, Mapping[str, str]] = {
    "good": {"en": "On target", "zh": "达标"},
    "watch": {"en": "Watch", "zh": "关注"},
    "coach": {"en": "Coaching", "zh": "辅导"},
    "critical": {"en": "Critical", "zh": "严重"},
}


def band_title(name: str, own: Mapping[str, str] | None = None) -> dict[str, str]:
    """By language: the model's own title, else the default of this name, else the name as words."""
    return dict(own or BAND_TITLES.get(name) or {"en": name.replace("_", " ").capitalize()})
