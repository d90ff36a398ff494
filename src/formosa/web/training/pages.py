"""The training page: curves of one run or several over one another, its rows with their mask.

Alive while a training runs: the part above the rows is fetched again every two seconds while
somebody looks, and what is new is said to screen readers when it is measured, not at every step.
`formosa train page` writes the same page as one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from formosa.errors import UserError
from formosa.files import write_text
from formosa.train.curves import find_log
from formosa.web.app import places_of
from formosa.web.charts import figure
from formosa.web.page import Rendered, address, render
from formosa.web.response import answer
from formosa.web.site import Site
from formosa.web.training.charts import Drawn, draw_charts, look_of
from formosa.web.training.rows import Rows, guard_of, rows_page, settings_of
from formosa.web.training.state import Run, read_run, replies, speed
from formosa.web.training.words import TRAINING
from formosa.web.words import Lang, Words

LIVE = 2000  # milliseconds between two looks at a running training
LIVE_LONG = 10_000  # of one with so long a log that reading it takes a second
LONG = 20_000  # records
FILES = {"train": "rows for training", "heldout": "held-out rows"}
MOST_RUNS = 24  # laid over one another; listed
DEEPEST = 4  # folders below a named one in which trainings are looked for
MOST_LOOKED = 20_000  # files and folders, so that a home folder that was named ends


class Standing(NamedTuple):
    """A run's line in the overview; texts are for people, in the page's language."""

    look: str
    name: str
    state: str
    step: int
    steps: int
    steps_text: str
    left: str
    tokens: str
    loss: str
    held_out: str
    exact: str
    speed: str
    time: str
    spikes: tuple[int, ...]


def routes() -> list[BaseRoute]:
    """`/training` and its part that is fetched again."""
    return [Route("/training", _page), Route("/training/live", _live)]


def write_page(runs: Sequence[Path], target: Path, lang: Lang = "en") -> Path:
    """Write the page of some runs' trainings as one file, replaced whole.

    Raises:
        DataError: a run has no log of a training.
        UserError: the file can't be written.
    """
    write_text(target, export(runs, lang))
    return target


def export(runs: Sequence[Path], lang: Lang = "en") -> str:
    """The page of some runs as one file that needs nothing else.

    Args:
        runs: folders of runs, or their logs.
        lang: that it speaks.

    Raises:
        DataError: a run has no log of a training.
    """
    found = [read_run(place) for place in runs]
    if not found:
        raise UserError("No run is named.", "name a run's folder, such as runs/mini")
    chosen = _with_rows(found)
    return training_page(Site(lang), found, rows=rows_of(found[chosen - 1], {}, chosen)).html


def training_page(
    site: Site,
    runs: Sequence[Run],
    *,
    rows: Mapping[str, Any] | None = None,
    asked: Sequence[str] = (),
) -> Rendered:
    """The page.

    Args:
        site: where it stands.
        runs: at least one, in the order of their colours.
        rows: what `rows_of` gives for one of them.
        asked: how the address names the runs.
    """
    words = Words(site.lang, TRAINING)
    names = [run.story.name for run in runs]
    title = " · ".join(names) if len(names) < 4 else words("{n} runs", n=len(names))
    return render(
        "training/page.html.jinja",
        site,
        title=words("Training of {name}", name=title),
        words=TRAINING,
        scripts=("training/page.js", "picture.js"),
        styles=("training/page.css",),
        **live_values(site, runs, words, asked),
        settings=[(run.story.name, list(_settings(run, words))) for run in runs],
        reports=[(run, _became(run, words)) for run in runs],
        replies=[(run.story.name, by_step) for run in runs if (by_step := _replies(run))],
        rows=rows,
        asked=list(asked),
        figure=figure,
        runs=runs,
    )


def live_values(
    site: Site, runs: Sequence[Run], words: Words, asked: Sequence[str]
) -> dict[str, Any]:
    """What the part of the page says that is fetched again."""
    running = any(run.state == "running" for run in runs)
    records = sum(len(run.story.records) for run in runs)
    return {
        "standings": [_standing(run, number, words) for number, run in enumerate(runs)],
        "charts": _charts(Drawing(runs, words)),
        "live": (LIVE if records < LONG else LIVE_LONG) if running and site.served else 0,
        "source": address("/training/live", run=list(asked), lang=site.lang),
        "said": " ".join(_said(run, words) for run in runs),
    }


class Drawing:
    """What charts are drawn of; equal to another one where the logs are the same."""

    def __init__(self, runs: Sequence[Run], words: Words) -> None:
        self.stories, self.words = [run.story for run in runs], words
        self.key = words.lang, *(run.version for run in runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drawing) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=16)
def _charts(drawing: Drawing) -> tuple[Drawn, ...]:
    return draw_charts(drawing.stories, drawing.words)


def _page(request: Request) -> Response:
    site = Site.of(request)
    asked = request.query_params.getlist("run")[:MOST_RUNS]
    if not asked:
        return answer(request, _list(request, site))
    runs = _runs(request, asked)
    of = request.query_params.get("of")
    chosen = _number(of, len(runs)) if of else _with_rows(runs)
    rows = rows_of(runs[chosen - 1], request.query_params, chosen)
    return answer(request, training_page(site, runs, rows=rows, asked=asked))


def _with_rows(runs: Sequence[Run]) -> int:
    """The number of the first run whose rows are here; 1 where none has any."""
    here = (n for n, run in enumerate(runs, 1) if any(_row_files(run)))
    return next(here, 1)


def _live(request: Request) -> Response:
    site = Site.of(request)
    asked = request.query_params.getlist("run")[:MOST_RUNS]
    words = Words(site.lang, TRAINING)
    values = live_values(site, _runs(request, asked), words, asked)
    page = render("training/live.html.jinja", site, title="", words=TRAINING, **values)
    return answer(request, page)


def _runs(request: Request, asked: Sequence[str]) -> list[Run]:
    return [read_run(places_of(request).find(name)) for name in asked]


def _list(request: Request, site: Site) -> Rendered:
    """The trainings in the folders that were named."""
    places = places_of(request)
    words = Words(site.lang, TRAINING)
    runs = []
    for folder in trainings(places.roots):
        try:
            places.find(str(folder))
            runs.append((str(folder), read_run(folder)))
        except UserError:  # gone since, outside, or a log of something else
            continue
    listed = [(path, _standing(run, i, words)) for i, (path, run) in enumerate(runs[:MOST_RUNS])]
    return render(
        "training/list.html.jinja",
        site,
        title=words("Training"),
        words=TRAINING,
        styles=("training/page.css",),
        listed=listed,
    )


def trainings(roots: Sequence[Path]) -> list[Path]:
    """Folders of runs with a log of a training, below some folders; the latest first."""
    found: dict[Path, float] = {}
    looked = 0
    waiting = [(root, 0) for root in roots if root.is_dir()]
    while waiting and looked < MOST_LOOKED:
        folder, depth = waiting.pop()
        try:
            found[folder] = find_log(folder).stat().st_mtime
            continue
        except (OSError, UserError):
            pass
        if depth == DEEPEST:
            continue
        try:
            inside = sorted(folder.iterdir())
        except OSError:
            continue
        looked += len(inside)
        waiting += (
            (path, depth + 1)
            for path in inside
            if not path.name.startswith(".") and path.is_dir() and not path.is_symlink()
        )
    return sorted(found, key=lambda path: -found[path])


def rows_of(run: Run, query: Mapping[str, str], of: int = 1) -> dict[str, Any] | None:
    """The rows of a run that an address asks for; None where it has no prepared rows.

    Args:
        run: of a page.
        query: `file`, `source`, `kind` and `page`.
        of: the run's number on the page, from 1.
    """
    here = _row_files(run)
    if not here:
        return None
    name = query.get("file", "")
    name = name if name in here else next(iter(here))
    guard, known = guard_of(run.folder)
    thinking, learn_all = settings_of(run.recipe)
    source, kind = query.get("source", ""), query.get("kind", "")
    try:
        page: Rows | None = rows_page(
            here[name],
            guard,
            number=_number(query.get("page"), 10**9),
            source=source,
            kind=kind,
            thinking=thinking,
            learn_all=learn_all,
        )
        problem = ""
    except UserError as error:
        page, problem = None, error.message
    return {
        "files": {each: FILES[each] for each in here},
        "file": name,
        "source": source,
        "kind": kind,
        "page": page,
        "problem": problem,
        "known": known or learn_all,
        "of": of,
    }


def _row_files(run: Run) -> dict[str, Path]:
    """By their names in `FILES`."""
    paths = {name: run.folder / "data" / f"{name}.jsonl" for name in FILES}
    return {name: path for name, path in paths.items() if path.is_file()}


def _number(text: str | None, most: int) -> int:
    """A number of an address, from 1; 1 where it is none."""
    return min(max(1, int(text)), most) if text and text.isdecimal() and len(text) < 10 else 1


def _standing(run: Run, number: int, words: Words) -> Standing:
    story = run.story
    step, measured = story.last("step"), story.last("measured")
    exact = measured.get("exact_call")
    exact = exact if isinstance(exact, dict) and exact.get("of") else {}
    summary = story.summary or {}
    steps = run.steps
    text = f"{run.step:,}"
    if steps:
        count = f"{steps.number:,}"
        count = count if steps.known else words("about {steps}", steps=count)
        text = words("{step} of {steps}", step=f"{run.step:,}", steps=count)
    left = words("about {time}", time=spoken_time(run.left, words)) if run.left is not None else "–"
    tokens = summary.get("tokens")
    if tokens is None:
        tokens = sum(int(p.value) for p in story.points("step", "tokens")) or None
    spikes = tuple(r["step"] for r in story.records if r.get("type") == "spike" and "step" in r)
    return Standing(
        look_of(number),
        story.name,
        run.state,
        run.step,
        max(steps.number, run.step, 1) if steps else 0,
        text,
        left,
        figure(tokens),
        figure(step.get("loss")),
        figure(measured.get("loss")),
        words("{correct} of {of}", correct=figure(exact.get("correct")), of=figure(exact["of"]))
        if exact
        else "–",
        figure(speed(story)),
        spoken_time(step.get("seconds"), words),
        spikes,
    )


def spoken_time(seconds: Any, words: Words) -> str:
    """A length of time for people; a dash where there is none."""
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e9:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return words("{h} h {m} min", h=f"{hours:,}", m=minutes)
    return words("{m} min {s} s", m=minutes, s=rest) if minutes else words("{s} s", s=rest)


def _said(run: Run, words: Words) -> str:
    """What a screen reader says: it changes with the state and with each measurement."""
    measured = run.story.last("measured")
    if run.state == "running" and measured:
        return words(
            "{name}: measured at step {step}: held-out loss {loss}.",
            name=run.story.name,
            step=figure(measured.get("step")),
            loss=figure(measured.get("loss")),
        )
    step = "" if run.state == "running" else run.step
    return words(
        "{name}: {state}, step {step}.", name=run.story.name, state=words(run.state), step=step
    )


def _settings(run: Run, words: Words) -> Iterator[tuple[str, str]]:
    """How it is trained: by the summary, or while it runs by the recipe."""
    summary = run.story.summary or {}

    def value(name: str) -> Any:
        return summary[name] if name in summary else run.setting(name)

    base = summary.get("base")
    base = base.get("name") if isinstance(base, dict) else run.recipe.get("base")
    lora = value("lora")
    method = str(value("method") or "")
    if method not in ("", "full") and isinstance(lora, dict) and "rank" in lora:
        method += f" (rank {lora['rank']}, alpha {lora.get('alpha', '–')})"
    longest = run.setting("max_tokens")
    versions = summary.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    thinking = {"keep": words("kept"), "drop": words("left out")}.get(str(run.setting("thinking")))
    pairs = (
        ("Base", base),
        ("Method", method),
        ("Learning rate", value("learning_rate")),
        ("Rows of a step", value("rows_per_step")),
        ("Longest row", words("{n} tokens", n=figure(longest)) if longest else None),
        ("Thoughts of earlier turns", thinking),
        ("Precision", value("precision")),
        ("Seed", value("seed")),
        ("Machine", summary.get("hardware")),
        ("Versions", ", ".join(f"{name} {text}" for name, text in versions.items())),
    )
    return ((words(name), str(text)) for name, text in pairs if text not in (None, ""))


class Became(NamedTuple):
    """What became of a run's rows, in sentences, and its longest rows: (line, tokens, fits)."""

    sentences: tuple[str, ...]
    longest: tuple[tuple[str, int, bool], ...]


def _became(run: Run, words: Words) -> Became:
    """By the report of the encoding; of a log of old, by its summary."""
    report, summary = run.report, run.story.summary or {}
    limit = run.setting("max_tokens")
    dropped = report.get("dropped", summary.get("dropped"))
    counted = {"read": "{n} rows", "kept": "{n} whole", "split": "{n} split"}
    found = [words(text, n=figure(report[key])) for key, text in counted.items() if key in report]
    if not found and "rows" in summary:
        found.append(words("{n} rows", n=figure(summary["rows"])))
    for why, count in dropped.items() if isinstance(dropped, dict) else ():
        overlong = why == "overlong" and isinstance(limit, int)
        found.append(
            words("{n} dropped: longer than {limit} tokens", n=figure(count), limit=figure(limit))
            if overlong
            else words("{n} dropped", n=figure(count))
        )
    more = {
        "lost_turns": "{n} turns of the assistant fit nowhere",
        "guarded": "{n} rows spell a control token; it stays words",
    }
    found += [words(text, n=figure(report[key])) for key, text in more.items() if report.get(key)]
    tokens = report.get("tokens", summary.get("tokens"))
    learnt = report.get("trained", summary.get("trained_tokens"))
    if isinstance(tokens, int) and isinstance(learnt, int) and tokens:
        found.append(
            words(
                "{tokens} tokens, {learnt} of them learnt ({share})",
                tokens=figure(tokens),
                learnt=figure(learnt),
                share=f"{learnt / tokens:.0%}",
            )
        )
    return Became(tuple(found), tuple(_longest(report.get("longest"), limit)))


def _longest(longest: Any, limit: Any) -> Iterator[tuple[str, int, bool]]:
    for entry in longest if isinstance(longest, list) else ():
        if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], int):
            line = str(entry[1]).rpartition(":")[2]
            yield line, entry[0], not isinstance(limit, int) or entry[0] <= limit


def _replies(run: Run) -> Mapping[int, Any]:
    return replies(run.story.records)


def page_address(run: str, lang: Lang | None = None) -> str:
    """The address of a run's page, for pages that link to it."""
    return f"/training?run={quote(run)}" + (f"&lang={lang}" if lang else "")
