"""What the fields and parameters of this service mean that no other has."""

from servicekit import FieldDoc

FIELD_DOCS: dict[str, FieldDoc] = {
    "follows": FieldDoc(
        "The assignment that was failed or overdue, which this one follows on; null: it follows on none."
    ),
    "occasion": FieldDoc("What the rule would have given it for: a stay, a round in a stay, or an assignment."),
    "of": FieldDoc("The template that this follows on.", "silence-check"),
    "trigger": FieldDoc("What makes the rule give its training; null: given by hand.", "stayed"),
    "windows": FieldDoc("With `stayed`: after how many windows in the band.", 10),
    "?overdue": FieldDoc("Only those that are past their due date, or only those that are not."),
    "?status": FieldDoc("Only those in this state."),
    "Offset.agents": FieldDoc("How many people were there to be counted."),
    "Share.agents": FieldDoc("How many people were there to be counted."),
    "Skipped.reason": FieldDoc("What kept it back.", "cooldown"),
    "around_completion": FieldDoc("Shares before and after the completion, by weeks from it."),
    "assigned_at": FieldDoc("When it was given."),
    "assigned_by": FieldDoc("Who gave it by hand; null: a rule did."),
    "Publication.at": FieldDoc("When it is to be published; null or past: now."),
    "bands": FieldDoc("The bands that the template is given for."),
    "completed_at": FieldDoc("When it was completed."),
    "completed_on": FieldDoc("The day on which it was completed."),
    "content": FieldDoc("What it says."),
    "cooldown_days": FieldDoc("Days in which the same is not given to the same person again."),
    "correct": FieldDoc("Whether choosing it is right."),
    "draft": FieldDoc("Whether something is not published yet."),
    "due_at": FieldDoc("When it is to be done by; null: never."),
    "due_days": FieldDoc("Days that there are to do it; null: any number."),
    "Choice.id": FieldDoc("The choice's name.", "a"),
    "Question.id": FieldDoc("The question's name.", "q1"),
    "in_band": FieldDoc("How many were in one of the bands."),
    "TrainedPerson.in_band": FieldDoc("Whether the person is in one of the bands now."),
    "max_attempts": FieldDoc("How often a quiz may be handed in; null: any number."),
    "max_open": FieldDoc("How many may be open at once before nothing more is given."),
    "minutes": FieldDoc("How long it takes."),
    "note": FieldDoc("How this is to be read.", "No proof of a cause."),
    "overdue": FieldDoc("Whether it is open and past its due date."),
    "pass_percent": FieldDoc("Percent of the points that must be reached."),
    "passed": FieldDoc("Whether it was passed; null: not yet."),
    "priority": FieldDoc("Of rules that fit at once, the highest goes first."),
    "results": FieldDoc("The attempts so far."),
    "scheduled_at": FieldDoc("When a version is going to be published; null: none is."),
    "score_percent": FieldDoc("Percent of the points; null: no quiz, or not handed in."),
    "share": FieldDoc("Share of the people, 0 to 1; null: nobody was there."),
    "simulation_note": FieldDoc("Why this proves nothing where the tenant is simulated; null: it is not.", None),
    "template_version": FieldDoc("The version that is learned."),
    "text": FieldDoc("The words.", {"en": "What is silence?"}),
    "trained": FieldDoc("The share among those who have completed it."),
    "untrained": FieldDoc("The share among those who have not completed it."),
    "weeks": FieldDoc("ISO weeks, in order."),
    "withdraw_when_left": FieldDoc("Whether what is open is withdrawn when the band is left."),
    "withdrawn_at": FieldDoc("When it was withdrawn; null: it was not."),
    "withdrawn_reason": FieldDoc("Why it was withdrawn; null: it was not.", None),
    "Completion.answers": FieldDoc("The chosen choices by the question's name.", {"q1": ["a"]}),
    "Content.body": FieldDoc("What is read, Markdown by language.", {"en": "Silence is …"}),
    "Content.quiz": FieldDoc("The questions; null: it is a reading.", None),
    "Question.choices": FieldDoc(
        "What can be chosen.", [{"id": "a", "text": {"en": "Yes"}, "correct": True}, {"id": "b", "text": {"en": "No"}}]
    ),
    "Quiz.questions": FieldDoc(
        "The questions.",
        [
            {
                "id": "q1",
                "kind": "single",
                "text": {"en": "Is it?"},
                "choices": [{"id": "a", "text": {"en": "Yes"}, "correct": True}, {"id": "b", "text": {"en": "No"}}],
            }
        ],
    ),
    "rule_title": FieldDoc("The rule's name as people read it, by language.", {"en": "Silence coaching"}),
}
