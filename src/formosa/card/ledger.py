"""The cells of a card's tables, each filled from the files of a run and kept as a claim.

A table is asked for once in each language that shows it: heads and labels differ, figures can't.
"both" is the part of the card that both languages share.

Evaluations are known by the names of their logs, `base-TASK.jsonl` and `trained-TASK.jsonl`, or
`trained-TASK-….jsonl` for the shards of one; other files in `logs/` do not come into the card.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from formosa.card.claims import (
    MODEL_INDEX,
    Ask,
    Claim,
    ClaimedTable,
    Language,
    claims_text,
    table_name,
)
from formosa.card.claims import Cell as ClaimedCell
from formosa.card.figures import NOTHING, Sources
from formosa.card.markdown import draw_table
from formosa.card.run_files import at_pointer, pointer_to, role_of, shard_of
from formosa.errors import CardError, UserError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

ROLES = ("base", "trained")

MODEL = "model.json"  # which base the recipe named
REPORT, SUMMARY = "data/report.json", "train/summary.json"
PARITY, LEVELS, FLOW = "gguf/parity.json", "gguf/levels.json", "serve/tool-flow.json"
ADAPTER = "adapter/adapter.json"
CONFIG = "checkpoint/config.json"


class Words(NamedTuple):
    """What is said in either language, and where both are said at once."""

    zh: str
    en: str

    @property
    def both(self) -> str:
        return self.zh if self.zh == self.en else f"{self.zh} {self.en}"


Cell = Ask | Words | str


class LogFile(NamedTuple):
    """An evaluation: its log, or the first of its shards' and the others."""

    role: str
    task: str
    name: str  # relative to the run folder
    scorers: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, *self.others)


class Ledger:
    """Fills cells in the language that is set, and keeps where each figure is from."""

    def __init__(self, root: Path) -> None:
        self.sources = Sources(root)
        self.language: Language = "zh"
        self._index: list[Claim] = []
        self._tables: dict[str, ClaimedTable] = {}

    def say(self, words: Words) -> str:
        return str(getattr(words, self.language))

    def has(self, name: str) -> bool:
        return (self.sources.root / name).is_file()

    def get(self, name: str, *steps: str | int) -> Any:
        """A value of a JSON file; None where the file or the value is missing."""
        if not self.has(name):
            return None
        try:
            return at_pointer(self.sources.json(name), pointer_to(*steps))
        except CardError:
            return None

    def object(self, name: str, *steps: str | int) -> dict[str, Any]:
        """The same, where it is to be an object; an empty one else."""
        value = self.get(name, *steps)
        return value if isinstance(value, dict) else {}

    def items(self, name: str, *steps: str | int) -> list[Any]:
        """The same, where it is to be a list; an empty one else."""
        value = self.get(name, *steps)
        return value if isinstance(value, list) else []

    def value(self, name: str, *steps: str | int) -> Ask | str:
        """A cell for a value of a JSON file; a dash where there is none."""
        value = self.get(name, *steps)
        if value is None:
            return NOTHING
        return Ask("value", (name,), pointer=pointer_to(*steps))

    def interval(self, name: str, *steps: str | int) -> Ask | str:
        """A cell for `value`, `low` and `high`, shares of 1; a dash where one is missing."""
        found = self.object(name, *steps)
        whole = all(isinstance(found.get(key), int | float) for key in ("value", "low", "high"))
        return Ask("interval", (name,), pointer=pointer_to(*steps)) if whole else NOTHING

    def table(self, name: str, heads: list[Words], keys: int, rows: list[list[Cell]]) -> str:
        """The Markdown of a table whose rows are known by their first `keys` cells.

        "" where it would have no rows.
        """
        if not rows:
            return ""
        shown = list(map(self.say, heads))
        drawn = [[self._filled(cell) for cell in row] for row in rows]
        self._keep(name, keys, shown, drawn, rows)
        return draw_table(table_name(name, self.language), shown, drawn)

    def _filled(self, cell: Cell) -> str:
        if isinstance(cell, Words):
            return self.say(cell)
        if isinstance(cell, str):
            return cell
        return self.sources.printed(cell.at("", (), "", "", self.language))

    def _keep(
        self, name: str, keys: int, heads: list[str], drawn: list[list[str]], rows: list[list[Cell]]
    ) -> None:
        """Put the table, as this language shows it, beside what others show of it."""
        asks = [[cell if isinstance(cell, Ask) else None for cell in row] for row in rows]
        table = self._tables.setdefault(
            name,
            ClaimedTable(
                name,
                (),
                keys,
                [() for _ in heads],
                [[ClaimedCell((), ask) for ask in row] for row in asks],
            ),
        )
        known = [[cell.ask for cell in row] for row in table.rows]
        assert known == asks, f"the languages have different figures in {name}"
        table.languages += (self.language,)
        table.heads = [(*texts, head) for texts, head in zip(table.heads, heads, strict=True)]
        table.rows = [
            [ClaimedCell((*cell.texts, text), cell.ask)
             for cell, text in zip(cells, texts, strict=True)]
            for cells, texts in zip(table.rows, drawn, strict=True)
        ]  # fmt: skip

    def settings(self, name: str, lines: list[tuple[Words, Cell]]) -> str:
        """Two columns: what it is, and its value. What the files do not say is left out."""
        rows: list[list[Cell]] = [[label, cell] for label, cell in lines if cell != NOTHING]
        return self.table(name, [Words("項目", "Item"), Words("值", "Value")], 1, rows)

    def result(self, log: LogFile, scorer: str) -> EvalResult:
        """An entry of the model-index, claimed."""
        ask, row = Ask("accuracy", log.names, scorer), (log.task, scorer)
        blank = ask.at(MODEL_INDEX, row, "value", "")
        self._index.append(ask.at(MODEL_INDEX, row, "value", self.sources.printed(blank)))
        return self.sources.result(blank)

    def claims_text(self) -> str:
        """The claims file of all that was filled."""
        asks: list[Ask | Claim] = [*self._index]
        asks += [cell.ask for t in self._tables.values() for row in t.rows for cell in row
                 if cell.ask]  # fmt: skip
        names = sorted({name for ask in asks for name in ask.files})
        files = {name: self.sources.sha256(name) for name in names}
        return claims_text(files, self._index, self._tables.values())


def find_logs(ledger: Ledger) -> list[LogFile]:
    """The evaluations of the run, the base model's before the trained one's.

    The shards of an evaluation are one; where its whole log is there as well, they are left out.

    Raises:
        CardError: one is not finished, or lacks a shard.
        LogError: one can't be read.
    """
    found: list[LogFile] = []
    shards: dict[tuple[str, str], list[str]] = {}
    for path in sorted((ledger.sources.root / "logs").glob("*.jsonl")):
        name = f"logs/{path.name}"
        if role_of(name) not in ROLES:
            continue
        log = ledger.sources.log(name)
        if not log.finished:
            raise CardError(
                f"{name} is not finished: {len(log.samples)} of {log.planned} samples.",
                "run the same recipe again, it continues: formosa run recipe.yaml",
            )
        task = str(log.start["task"].get("name"))
        if shard_of(log):
            shards.setdefault((role_of(name), task), []).append(name)
        else:
            found.append(LogFile(role_of(name), task, name, tuple(log.scorers)))
    whole = {(log.role, log.task) for log in found}
    for (role, task), names in shards.items():
        if (role, task) not in whole:
            log = ledger.sources.joined(tuple(names))
            found.append(LogFile(role, task, names[0], tuple(log.scorers), tuple(names[1:])))
    return sorted(found, key=lambda log: (log.task, ROLES.index(log.role), log.name))


def base_of(ledger: Ledger) -> dict[str, str]:
    """`name`, `licence`, `hub_id` and `revision` of the base; "" where the run does not say."""
    keys = ("name", "licence", "hub_id", "revision")
    return {
        key: str(ledger.get(MODEL, key) or ledger.get(SUMMARY, "base", key) or "") for key in keys
    }


def has_anything(ledger: Ledger) -> bool:
    return any(map(ledger.has, (REPORT, SUMMARY, PARITY, LEVELS, ADAPTER, FLOW))) or any(
        (ledger.sources.root / "logs").glob("*.jsonl")
    )


def readable(ledger: Ledger) -> None:
    """Read every JSON file that is there, so that a damaged one is a sentence and no gap.

    Raises:
        CardError: one is no JSON object.
    """
    for name in (MODEL, REPORT, SUMMARY, PARITY, LEVELS, ADAPTER, FLOW, CONFIG):
        if ledger.has(name):
            try:
                value = ledger.sources.json(name)
            except UserError as error:
                raise CardError(error.message, "run the stage that writes it again") from error
            if not isinstance(value, dict):
                raise CardError(
                    f"{name} holds no JSON object.", "run the stage that writes it again"
                )
