"""The tables of a card, from the files of a run folder: every cell with its claim.

A table's name and heads are part of the claims, so changing one here makes cards that were written
before differ from what would be written now, but not wrong: a check goes by the card's own heads.

Logs are paired by their names, `base-TASK.jsonl` and `trained-TASK.jsonl`; other files in `logs/`
do not come into the card.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from formosa.card.claims import MODEL_INDEX, Claim, Claims
from formosa.card.figures import NOTHING, Sources, at_pointer, pointer_to
from formosa.card.markdown import draw_table, escaped
from formosa.errors import CardError, UserError
from formosa.results.log import OUTCOMES

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

ROLES = ("base", "trained")

MODEL = "model.json"  # which base the recipe named
REPORT, SUMMARY = "data/report.json", "train/summary.json"
PARITY, FLOW = "gguf/parity.json", "serve/tool-flow.json"


class Ask(NamedTuple):
    """A cell to be filled: see Claim for the fields."""

    metric: str
    files: tuple[str, ...]
    scorer: str = ""
    pointer: str = ""

    def at(self, table: str, row: tuple[str, ...], column: str, text: str) -> Claim:
        return Claim(table, row, column, text, self.files, self.metric, self.scorer, self.pointer)


class LogFile(NamedTuple):
    role: str
    task: str
    name: str  # relative to the run folder
    scorers: tuple[str, ...]


class Ledger:
    """Fills cells and keeps a claim for each."""

    def __init__(self, root: Path) -> None:
        self.sources = Sources(root)
        self._claims: list[Claim] = []

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

    def value(self, name: str, *steps: str | int) -> Ask | str:
        """A cell for a value of a JSON file; a dash where there is none."""
        if self.get(name, *steps) is None:
            return NOTHING
        return Ask("value", (name,), pointer=pointer_to(*steps))

    def table(self, name: str, heads: list[str], keys: int, rows: list[list[Ask | str]]) -> str:
        """The Markdown of a table whose rows are known by their first `keys` cells."""
        drawn = [[self._filled(name, cell) for cell in row] for row in rows]
        seen = Counter(tuple(row[:keys]) for row in drawn)
        for asked, row in zip(rows, drawn, strict=True):
            key = tuple(row[:keys])
            self._claims += [
                cell.at(name, key if seen[key] == 1 else tuple(row), head, text)
                for cell, head, text in zip(asked, heads, row, strict=True)
                if isinstance(cell, Ask)
            ]
        return draw_table(name, heads, drawn)

    def _filled(self, name: str, cell: Ask | str) -> str:
        return self.sources.printed(cell.at(name, (), "", "")) if isinstance(cell, Ask) else cell

    def result(self, log: LogFile, scorer: str) -> EvalResult:
        """An entry of the model-index, claimed."""
        ask, row = Ask("accuracy", (log.name,), scorer), (log.task, scorer)
        blank = ask.at(MODEL_INDEX, row, "value", "")
        self._claims.append(ask.at(MODEL_INDEX, row, "value", self.sources.printed(blank)))
        return self.sources.result(blank)

    def count(self, name: str, key: str) -> int:
        """The length of a list in a JSON file; 0 where there is none."""
        value = self.get(name, key)
        return len(value) if isinstance(value, list) else 0

    def claims(self) -> Claims:
        names = sorted({name for claim in self._claims for name in claim.files})
        return Claims({name: self.sources.sha256(name) for name in names}, tuple(self._claims))


def find_logs(ledger: Ledger) -> list[LogFile]:
    """The logs of the run, the base model's before the trained one's.

    Raises:
        CardError: one is not finished.
        LogError: one can't be read.
    """
    found = []
    for path in sorted((ledger.sources.root / "logs").glob("*.jsonl")):
        role = path.name.split("-")[0]
        if role not in ROLES:
            continue
        name = f"logs/{path.name}"
        log = ledger.sources.log(name)
        if not log.finished:
            raise CardError(
                f"{name} is not finished: {len(log.samples)} of {log.planned} samples.",
                "run the same recipe again, it continues: formosa run recipe.yaml",
            )
        found.append(LogFile(role, str(log.start["task"].get("name")), name, tuple(log.scorers)))
    return sorted(found, key=lambda log: (log.task, ROLES.index(log.role), log.name))


def scores(ledger: Ledger, logs: list[LogFile]) -> str:
    heads = ["任務 Task", "判讀 Scorer", "模型 Model", "正確率 Accuracy % [95 %]"]
    heads += ["正確 correct", "錯誤 wrong", "無法判讀 unparsed", "截斷 truncated", "失敗 failed"]
    heads += ["題數 × 次 Questions × repeats", "紀錄 Log"]
    metrics = ("task", "scorer", "role", "score", *OUTCOMES, "asked", "link")
    pairs = [(log, scorer) for task in tasks_of(logs) for log, scorer in by_scorer(task)]
    return ledger.table(
        "scores",
        heads,
        3,
        [[Ask(metric, (log.name,), scorer) for metric in metrics] for log, scorer in pairs],
    )


def differences(ledger: Ledger, logs: list[LogFile]) -> str:
    """Trained minus base, question by question; "" where no task has both."""
    heads = ["任務 Task", "判讀 Scorer", "訓練後 − 訓練前 Trained − base, points [95 %]"]
    heads += ["判斷 Verdict", "較好題數 Better", "較差題數 Worse", "共同題數 Questions", "p"]
    metrics = ("task", "scorer", "difference", "verdict", "better", "worse", "shared", "p")
    rows: list[list[Ask | str]] = []
    for task in tasks_of(logs):
        base, trained = ([log for log in task if log.role == role] for role in ROLES)
        if len(base) == len(trained) == 1:
            names = (base[0].name, trained[0].name)
            rows += [
                # The labels follow from either log, so they name one.
                [Ask(m, names[:1] if m in ("task", "scorer") else names, scorer) for m in metrics]
                for scorer in base[0].scorers
                if scorer in trained[0].scorers
            ]
    return ledger.table("differences", heads, 2, rows) if rows else ""


def logs_table(ledger: Ledger, logs: list[LogFile]) -> str:
    heads = [
        "紀錄 Log",
        "模型 Model",
        "模型檔 Model sha256",
        "題數 / 原有 × 次 Questions / of × repeats",
    ]
    heads += ["種子 Seed", "完成 Finished", "紀錄檔 Log sha256"]
    metrics = ("path", "model", "model-sha256", "plan", "seed", "finished", "sha256")
    rows: list[list[Ask | str]] = [[Ask(m, (log.name,)) for m in metrics] for log in logs]
    return ledger.table("logs", heads, 1, rows)


def tasks_table(ledger: Ledger, logs: list[LogFile]) -> str:
    heads = [
        "任務 Task",
        "版本 Version",
        "資料 Data",
        "資料版本 Revision",
        "授權 Licence",
        "語言 Language",
    ]
    metrics = ("task", "version", "source", "revision", "licence", "language")
    rows: list[list[Ask | str]] = [
        [Ask(m, (task[0].name,)) for m in metrics] for task in tasks_of(logs)
    ]
    return ledger.table("tasks", heads, 1, rows)


def tasks_of(logs: list[LogFile]) -> list[list[LogFile]]:
    return [[log for log in logs if log.task == task] for task in sorted({x.task for x in logs})]


def by_scorer(task: list[LogFile]) -> list[tuple[LogFile, str]]:
    """Base and trained under each other for every scorer."""
    names = list(dict.fromkeys(scorer for log in task for scorer in log.scorers))
    return [(log, name) for name in names for log in task if name in log.scorers]


def data_sources(ledger: Ledger) -> str:
    heads = ["來源 Source", "授權 Licence", "讀入 Rows in", "採用 Rows out", "捨棄 Dropped"]
    keys = ("name", "licence", "rows_in", "rows_out", "dropped")
    count = ledger.count(REPORT, "sources")
    rows = [[ledger.value(REPORT, "sources", i, key) for key in keys] for i in range(count)]
    return ledger.table("data-sources", heads, 1, rows)


def data_kinds(ledger: Ledger) -> str:
    heads = ["種類 Kind", "筆數 Rows"]
    kinds = dict(ledger.get(REPORT, "kinds") or {})
    rows = [[escaped(str(kind)), ledger.value(REPORT, "kinds", kind)] for kind in kinds]
    return ledger.table("data-kinds", heads, 1, rows)


def data_contamination(ledger: Ledger) -> str:
    """What the training rows were compared with, and how many were left out for it."""
    heads = ["比對的測驗 Compared with", "題文 Texts", "工具 Tools", "因此捨棄 Rows left out"]
    keys = ("benchmark", "texts", "tools", "rows")
    count = ledger.count(REPORT, "contamination")
    rows = [[ledger.value(REPORT, "contamination", i, key) for key in keys] for i in range(count)]
    return ledger.table("data-contamination", heads, 1, rows) if rows else ""


def data_files(ledger: Ledger) -> str:
    return _settings(
        ledger,
        "data-files",
        REPORT,
        [
            ("訓練筆數 Training rows", ("rows", "train")),
            ("保留筆數 Held-out rows", ("rows", "heldout")),
            ("語言 Languages", ("languages",)),
            ("種子 Seed", ("seed",)),
            ("train.jsonl sha256", ("sha256", "train")),
            ("heldout.jsonl sha256", ("sha256", "heldout")),
        ],
    )


def training(ledger: Ledger) -> str:
    last = ledger.count(SUMMARY, "heldout") - 1
    return _settings(
        ledger,
        "training",
        SUMMARY,
        [
            ("方法 Method", ("method",)),
            ("LoRA", ("lora",)),
            ("筆數 Rows", ("rows",)),
            ("捨棄 Dropped", ("dropped",)),
            ("詞元 Tokens", ("tokens",)),
            ("計入損失的詞元 Trained tokens", ("trained_tokens",)),
            ("步數 Steps", ("steps",)),
            ("輪數 Epochs", ("epochs",)),
            ("學習率 Learning rate", ("learning_rate",)),
            ("種子 Seed", ("seed",)),
            ("最初損失 First loss", ("loss", "first")),
            ("最後損失 Last loss", ("loss", "last")),
            ("保留集損失 Held-out loss", ("heldout", last, "loss")),
            ("保留集完全正確的呼叫 Held-out exact calls", ("heldout", last, "exact_call")),
            ("秒 Seconds", ("seconds",)),
            ("硬體 Hardware", ("hardware",)),
            ("套件 Packages", ("versions",)),
        ],
        before=[
            ("基底 Base", _base(ledger, "name")),
            ("基底版本 Base revision", _base(ledger, "revision")),
            ("基底檔 Base sha256", _base(ledger, "sha256")),
        ],
    )


def parity(ledger: Ledger) -> str:
    heads = ["檢查 Check", "通過 Passed", "比較數 Compared", "說明 Detail"]
    keys = ("name", "passed", "compared", "detail")
    count = ledger.count(PARITY, "checks")
    rows = [[ledger.value(PARITY, "checks", i, key) for key in keys] for i in range(count)]
    return ledger.table("parity", heads, 1, rows)


def exported(ledger: Ledger) -> str:
    return _settings(
        ledger,
        "exported",
        PARITY,
        [
            ("檔案 File", ("file",)),
            ("量化 Quantisation", ("quantisation",)),
            ("sha256", ("sha256",)),
        ],
    )


def flow_steps(ledger: Ledger) -> str:
    heads = ["步驟 Step", "通過 Passed", "說明 Detail"]
    count = ledger.count(FLOW, "steps")
    rows = [
        [ledger.value(FLOW, "steps", i, key) for key in ("name", "passed", "detail")]
        for i in range(count)
    ]
    return ledger.table("flow-steps", heads, 1, rows)


def _settings(
    ledger: Ledger,
    name: str,
    file: str,
    lines: list[tuple[str, tuple[str | int, ...]]],
    before: list[tuple[str, Ask | str]] | None = None,
) -> str:
    """Two columns: what it is, and its value. What the file does not say is left out."""
    cells = [*(before or []), *((label, ledger.value(file, *steps)) for label, steps in lines)]
    rows: list[list[Ask | str]] = [[label, cell] for label, cell in cells if cell != NOTHING]
    return ledger.table(name, ["項目 Item", "值 Value"], 1, rows)


def _base(ledger: Ledger, key: str) -> Ask | str:
    """A cell about the base model: what the recipe named, else what was trained from."""
    named = ledger.value(MODEL, key) if ledger.get(MODEL, key) else NOTHING
    return named if named != NOTHING else ledger.value(SUMMARY, "base", key)


def base_of(ledger: Ledger) -> dict[str, str]:
    """`name`, `licence` and `hub_id` of the base model; "" where the run does not say."""
    keys = ("name", "licence", "hub_id")
    return {
        key: str(ledger.get(MODEL, key) or ledger.get(SUMMARY, "base", key) or "") for key in keys
    }


def has_anything(ledger: Ledger) -> bool:
    return any(map(ledger.has, (REPORT, SUMMARY, PARITY, FLOW))) or any(
        (ledger.sources.root / "logs").glob("*.jsonl")
    )


def readable(ledger: Ledger) -> None:
    """Read every JSON file that is there, so that a damaged one is a sentence and no gap.

    Raises:
        CardError: one is no JSON object.
    """
    for name in (MODEL, REPORT, SUMMARY, PARITY, FLOW):
        if ledger.has(name):
            try:
                value = ledger.sources.json(name)
            except UserError as error:
                raise CardError(error.message, "run the stage that writes it again") from error
            if not isinstance(value, dict):
                raise CardError(
                    f"{name} holds no JSON object.", "run the stage that writes it again"
                )
