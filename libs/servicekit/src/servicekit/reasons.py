"""Why something was taken back, as a sentence for people in each language, for every reason code of the services."""

from collections.abc import Mapping
from typing import Any

from contracts.envelope import ReasonCode, ReasonValues
from pydantic import BaseModel

from servicekit.languages import LANGUAGES, format_value, format_window, select_title

REASONS: Mapping[str, Mapping[str, str]] = {
    "corrected_call": {"en": "calls or reviews were corrected", "zh": "通话或评审数据有更正"},
    "new_kpi_version": {"en": "the figure is now defined differently", "zh": "指标的定义已更新"},
    "other_target": {"en": "another target applies", "zh": "适用的目标已变更"},
    "by_hand": {"en": "it was taken back by hand", "zh": "已由管理人员撤回"},
    "band_left": {"en": "the band was left before the training was started", "zh": "在开始培训前已离开该区间"},
    "stayed_no_longer": {"en": "the time in the band was corrected", "zh": "处于该区间的时间已更正"},
    "band_corrected": {"en": "the band was corrected", "zh": "所处区间已更正"},
    "score_corrected": {"en": "the values it was given for were corrected", "zh": "作为依据的数值已更正"},
}


def format_reason(code: str, values: Mapping[str, Any], language: str) -> str:
    """The sentence for a reason code, with the window, value and band of `values` if there are any. Empty for a code that
    this release does not know."""
    if code not in REASONS:
        return ""
    sentence = REASONS[code][language]
    if not values.get("window"):
        return sentence
    window, value = (
        format_window(values["window"], language),
        format_value(values.get("value"), values.get("unit"), language),
    )
    band = select_title(values.get("band_title") or {}, None, language)
    if language == "zh":
        now = f"现为 {value}" if value else "不再有数值"
        return f"{sentence}（{window}{now}{f'，处于“{band}”' if band else ''}）"
    now = f"now reads {value}" if value else "has no value any more"
    return f"{sentence} ({window} {now}{f', “{band}”' if band else ''})"


class Reason(BaseModel):
    """Why something was taken back: a stable `code`; the `values` that the sentence mentions, such as the window, its value
    now with its unit, and the band's title; and the sentence by language."""

    code: ReasonCode
    values: ReasonValues
    text: dict[str, str]


def reason_of(code: str | None, values: Mapping[str, Any] | None) -> Reason | None:
    """The reason for an API response, with its sentence in every language; None without a code."""
    if not code:
        return None
    mentioned = dict(values or {})
    return Reason(code=code, values=mentioned, text={each: format_reason(code, mentioned, each) for each in LANGUAGES})
