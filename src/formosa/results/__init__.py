"""What an evaluation found: its append-only log, outcome counts, scores with intervals.

A room of its own because three others meet in it: `evals` writes logs, `card` and `web` read them.
"""
