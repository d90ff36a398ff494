"""What an evaluation found: its append-only log, outcome counts, scores with intervals.

    log.py         the records of a log, and reading it
    index.py       the same log ready in a second, for pages: places, outcomes, figures
    tally.py       scores from counted questions
    log_writer.py  begin or continue a log, append, finish: one process alone
    same_run.py    whether two logs are of the same run, and what differs if not
    metrics.py     outcomes, scores with intervals, paired differences; how they are defined
    several.py     several differences together: Holm's p-values, the mean over tasks
    effort.py      tokens, time, and in which Chinese the replies are
    merge.py       logs of shards put together; the form in which logs can be compared
    export.py      a log as a Parquet table, or for inspect_ai
    report.py      the figures as rows for people and programs
    code.py        which code made a result

A room of its own because three others meet in it: `evals` writes logs, `card` and `web` read them.
"""
