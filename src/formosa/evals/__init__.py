"""Evaluation: tasks, the runner that asks them, and the readings of what came back.

    task.py      what a benchmark is: samples, a way of asking, scorers; the fixed subset and seed
    registry.py  a task by its name; a benchmark's module is imported when it is asked for
    plan.py      which samples, how often, each request whole, in which order, for which shard
    lanes.py     how many requests at a time, to which of several servers; what follows an error
    run.py       asks every question of a plan and appends to a log; continues what was stopped
    record.py    a reply as a record of the log, and back again
    score.py     scores replies that are there: of an old log, or outputs from elsewhere
    config.py    the `eval:` part of a recipe

Benchmarks: `mini.py`, `tmmluplus.py`, `mmlu.py`, `tw_legal.py` and `choice_files.py` (multiple
choice, on `choice.py`, `extract.py`, `logit.py` and `twinkle.py`), `bfcl/` (function calling),
`math/` and `gpqa.py`.

The log and the figures made from it are in `formosa.results`, since the card reads them too.
Knows nothing of HTTP and loads no model: it is handed a `ChatModel`.
"""
