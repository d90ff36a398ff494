"""What an evaluation found: its append-only log, outcome counts, scores with intervals.

    log.py      the records of a log: begin or continue, append, finish, read
    metrics.py  outcomes, scores with intervals, paired differences; how they are defined
    report.py   the same as rows for people and programs
    code.py     which code made a result

A room of its own because three others meet in it: `evals` writes logs, `card` and `web` read them.
"""
