"""What the fields and parameters of this service mean that no other has."""

from servicekit import FieldDoc

FIELD_DOCS: dict[str, FieldDoc] = {
    "?around_me": FieldDoc("The top of the board and the caller's neighbours, on one page."),
    "?on": FieldDoc("A day of the period; without it, today in the tenant's time."),
    "anonymise": FieldDoc("Whose names are hidden from whom.", "none"),
    "around": FieldDoc("How many neighbours of the caller are shown, above and below."),
    "balance": FieldDoc("The sum of the points."),
    "baseline_days": FieldDoc("Days before, that the improvement is measured from."),
    "cause": FieldDoc(
        "What it was given for: a stay in a band, an assignment, or a KPI and its workday.", "silence_pct 2026-03-04"
    ),
    "Entry.detail": FieldDoc("The figures that the points were counted from."),
    "earned_on": FieldDoc("The day whose period it counts in."),
    "entries": FieldDoc("How many entries the points come from."),
    "from_bands": FieldDoc("The bands that must be left.", ["coach"]),
    "leaderboard": FieldDoc("The leaderboard's name.", "week"),
    "me": FieldDoc("Whether it is the caller's."),
    "Standings.me": FieldDoc("The caller's place; null: none."),
    "measure": FieldDoc("How the improvement is measured.", "percent"),
    "min_entries": FieldDoc("Entries that somebody must have to be ranked."),
    "min_improvement": FieldDoc("The least improvement that is rewarded, a decimal as text.", "5"),
    "min_sample": FieldDoc("The least sample that says something."),
    "passed_only": FieldDoc("Whether only a passed one is rewarded."),
    "period": FieldDoc("The time that is counted together."),
    "provisional": FieldDoc(
        "Points for improvement that the running workday would give if it ended now; not part of the balance.",
        {"workday": "2026-03-18", "points": 10},
    ),
    "Entry.reason": FieldDoc("Why it takes points back; null: it gives some.", None),
    "rank": FieldDoc("The place: 1 is the first, equals share it."),
    "ranked": FieldDoc("How many people are on the board."),
    "reverses": FieldDoc("The entry that this one takes back; null: none."),
    "Leaderboard.rules": FieldDoc("The rules whose points count; empty: all.", ["left-coach"]),
    "step": FieldDoc("How much of an improvement is worth the points, a decimal as text.", "1"),
    "to_better": FieldDoc("Whether the next band must be a better one."),
    "top": FieldDoc("How many of the first are shown by name."),
    "week_cap": FieldDoc("The most points of one ISO week."),
}
