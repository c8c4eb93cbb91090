"""What the fields and parameters of this service mean that no other has."""

from servicekit import Word

WORDS: dict[str, Word] = {
    "?around_me": Word("The top of the board and the caller's neighbours, on one page."),
    "?on": Word("A day of the period; without it, today in the tenant's time."),
    "anonymise": Word("Whose names are hidden from whom.", "none"),
    "around": Word("How many neighbours of the caller are shown, above and below."),
    "balance": Word("The sum of the points."),
    "baseline_days": Word("Days before, that the improvement is measured from."),
    "cause": Word(
        "What it was given for: a stay in a band, an assignment, or a KPI and its workday.", "silence_pct 2026-03-04"
    ),
    "Entry.detail": Word("The figures that the points were counted from."),
    "earned_on": Word("The day whose period it counts in."),
    "entries": Word("How many entries the points come from."),
    "from_bands": Word("The bands that must be left.", ["coach"]),
    "leaderboard": Word("The leaderboard's name.", "week"),
    "me": Word("Whether it is the caller's."),
    "Standings.me": Word("The caller's place; null: none."),
    "measure": Word("How the improvement is measured.", "percent"),
    "min_entries": Word("Entries that somebody must have to be ranked."),
    "min_improvement": Word("The least improvement that is rewarded, a decimal as text.", "5"),
    "min_sample": Word("The least sample that says something."),
    "passed_only": Word("Whether only a passed one is rewarded."),
    "period": Word("The time that is counted together."),
    "Entry.reason": Word("Why it takes points back; null: it gives some.", None),
    "rank": Word("The place: 1 is the first, equals share it."),
    "ranked": Word("How many people are on the board."),
    "reverses": Word("The entry that this one takes back; null: none."),
    "Leaderboard.rules": Word("The rules whose points count; empty: all.", ["left-coach"]),
    "step": Word("How much of an improvement is worth the points, a decimal as text.", "1"),
    "to_better": Word("Whether the next band must be a better one."),
    "top": Word("How many of the first are shown by name."),
    "week_cap": Word("The most points of one ISO week."),
}
