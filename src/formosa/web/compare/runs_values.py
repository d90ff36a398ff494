"""What the template of whole runs shows, from `runs.py`."""

from __future__ import annotations

from typing import Any

from formosa.web.compare.charts import MOST_BARS, Bar, bars
from formosa.web.compare.figures import interval, p_text, percent, points, signed
from formosa.web.compare.runs import FigureRow, Runs, TaskRow
from formosa.web.compare.sides import Against, Paired, states
from formosa.web.compare.values import MARKS, Values
from formosa.web.page import address
from formosa.web.site import Site
from formosa.web.words import Words


def runs_values(site: Site, words: Words, made: Runs) -> Values:
    """Tables and pictures."""
    shown = [
        (row, place)
        for row in made.tasks
        for place, one in enumerate(row.others)
        if one and row.scorer in one.paired
    ]
    return {
        "sides": [
            {
                "letter": run.letter,
                "name": run.name,
                "look": look(place),
                "folder": str(run.folder) if site.served else run.folder.name,
                "tasks": len(run.sides),
            }
            for place, run in enumerate(made.sides)
        ],
        "reference": made.sides[0].label,
        "tasks": [_task(site, row) for row in made.tasks],
        "figures": [_figure(row) for row in made.figures],
        "family": made.family,
        "notes": _notes(made),
        "bars": bars(
            "tasks",
            words("Difference by task"),
            words("Difference to {reference} by task, points with the 95 % interval",
                  reference=made.sides[0].label),
            [_bar(made, row, place) for row, place in shown],
        ) if shown else None,
        "left": max(0, len(shown) - MOST_BARS),
    }  # fmt: skip


def look(place: int) -> str:
    return f"c{place % 6}"


def _bar(made: Runs, row: TaskRow, place: int) -> Bar:
    one = row.others[place]
    assert one is not None
    paired = one.paired[row.scorer]
    who = f"{made.sides[place + 1].letter} · " if len(made.sides) > 2 else ""
    return Bar.of(
        f"{who}{row.task} · {row.scorer}",
        paired.difference,
        paired.verdict,
        f"{MARKS[paired.verdict]} {points(paired.difference)}",
    )


def _task(site: Site, row: TaskRow) -> Values:
    return {
        "task": row.task,
        "scorer": row.scorer,
        "scores": [
            None if made is None else {
                "value": percent(made.value), "interval": interval(made),
                "asked": f"{made.questions}×{made.repeats}", "share": made.value,
            }
            for made in row.scores
        ],
        "others": [_other(site, row, one) for one in row.others],
    }  # fmt: skip


def _other(site: Site, row: TaskRow, one: Against | None) -> Values | None:
    if one is None:
        return None
    if one.refusal or row.scorer not in one.paired:
        return {"refusal": one.refusal, "points": None, "href": ""}
    return {"refusal": None, **paired_cell(one.paired[row.scorer])}


def paired_cell(paired: Paired) -> Values:
    made = paired.difference
    return {
        "points": points(made),
        "value": made.value,
        "p": p_text(paired.p),
        "verdict": paired.verdict,
        "better": made.better,
        "worse": made.worse,
    }


def _figure(row: FigureRow) -> Values:
    cells: list[Any] = []
    for change, paired in zip(row.differences, row.paired, strict=True):
        if paired:
            cells.append(paired_cell(paired))
        else:
            cells.append(None if change is None else {"points": signed(change), "verdict": None})
    return {
        "figure": row.figure,
        "scorer": row.scorer,
        "values": [None if value is None else percent(value) for value in row.values],
        "others": cells,
    }


def _notes(made: Runs) -> list[Values]:
    """What is to be known of single logs and pairs, each once."""
    found: list[Values] = []
    for run in made.sides:
        for task, side in run.sides.items():
            said = list(states(side))
            if said:
                found.append({"letter": run.letter, "task": task, "said": said})
    for row in made.tasks:
        for one in row.others:
            if one and one.cautions:
                note = {"letter": one.side.letter, "task": row.task, "said": list(one.cautions)}
                if note not in found:
                    found.append(note)
    return found


def task_addresses(made: Runs) -> dict[str, str]:
    """Task → the comparison of its logs in detail."""
    names = dict.fromkeys(row.task for row in made.tasks)
    found = {}
    for task in names:
        paths = [str(run.sides[task].log.path) for run in made.sides if task in run.sides]
        if len(paths) > 1:
            found[task] = address("/compare", log=paths)
    return found
