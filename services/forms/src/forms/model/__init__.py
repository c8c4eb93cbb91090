"""The rules of forms: what a definition is, which questions show, what a submission scores. No I/O."""

from forms.model import limits
from forms.model.definition import (
    MAX_SECTION_FORMS,
    FormDefinition,
    FormsSection,
    check_section,
    content_hash,
    other_kind,
)
from forms.model.filling import Filled, fill
from forms.model.scoring import QuestionResult, Result, SectionResult, event_answers, score

__all__ = [
    "MAX_SECTION_FORMS",
    "Filled",
    "FormDefinition",
    "FormsSection",
    "QuestionResult",
    "Result",
    "SectionResult",
    "check_section",
    "content_hash",
    "event_answers",
    "fill",
    "limits",
    "other_kind",
    "score",
]
