"""The pure rules of forms: definitions, which questions show, scoring. No I/O."""

from forms.model import limits
from forms.model.definition import (
    MAX_SECTION_FORMS,
    FormDefinition,
    FormsSection,
    check_kind_unchanged,
    check_section,
    content_hash,
)
from forms.model.filling import FilledForm, fill_form
from forms.model.scoring import QuestionResult, Result, SectionResult, event_answers, score_submission

__all__ = [
    "MAX_SECTION_FORMS",
    "FilledForm",
    "FormDefinition",
    "FormsSection",
    "QuestionResult",
    "Result",
    "SectionResult",
    "check_kind_unchanged",
    "check_section",
    "content_hash",
    "event_answers",
    "fill_form",
    "limits",
    "score_submission",
]
