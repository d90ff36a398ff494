"""The tables of the evaluation, from the logs of a run.

Two kinds. Those in the manner of the F1 cards have one row for each model and way of reading, and
one column for each benchmark; `scores` has one row for each score, with everything that became of
the answers. A lenient second reading stands in `scores` only.

A table's name and heads are part of the claims, so changing one here makes cards that were written
before differ from what would be written now, but not wrong: a check goes by the card's own heads.
"""

from __future__ import annotations

from collections.abc import Sequence

from formosa.card.claims import Ask
from formosa.card.figures import NOTHING
from formosa.card.ledger import ROLES, Cell, Ledger, LogFile, Words
from formosa.card.markdown import escaped
from formosa.results.effort import purity
from formosa.results.log import OUTCOMES

BFCL = {
    "simple": Words("單一 Simple", "Simple"),
    "multiple": Words("多選一 Multiple", "Multiple"),
    "parallel": Words("平行 Parallel", "Parallel"),
    "parallel-multiple": Words("平行多選 Parallel Multiple", "Parallel Multiple"),
}
CHOICE = ("box", "pattern", "twinkle", "twinkle-2.10")  # as the scorers of such tasks are called

TASK, SCORER = Words("任務", "Task"), Words("判讀", "Scorer")
WHO, LOG = Words("模型", "Model"), Words("紀錄", "Log")
ROLE_WORDS = {"base": Words("訓練前", "base"), "trained": Words("訓練後", "trained")}


def one_of(logs: Sequence[LogFile], role: str, task: str) -> LogFile | None:
    """The evaluation that stands for a task: the only one, or the one under its own name."""
    found = [log for log in logs if (log.role, log.task) == (role, task)]
    plain = [log for log in found if log.name == f"logs/{role}-{task}.jsonl"]
    return (plain or found)[0] if plain or len(found) == 1 else None


def is_lenient(scorer: str) -> bool:
    return scorer.endswith("_lenient")


def choice(ledger: Ledger, logs: list[LogFile]) -> str:
    """Multiple-choice tasks: models and readings down, benchmarks across."""
    tasks = [task for task in _names(logs) if any(map(_scorers(logs, task).__contains__, CHOICE))]
    heads = [Words("次數", "Repeats"), Words("選項排序的種子", "Seed of the option order")]
    return _across(ledger, "choice", logs, tasks, CHOICE, heads, ("repeats", "seeds"))


def other(ledger: Ledger, logs: list[LogFile]) -> str:
    """Tasks that are neither function calling nor multiple choice by letter."""
    tasks = [
        task
        for task in _names(logs)
        if not task.startswith("bfcl") and not set(_scorers(logs, task)) & set(CHOICE)
    ]
    names = dict.fromkeys(name for task in tasks for name in _scorers(logs, task))
    heads = [Words("次數", "Repeats")]
    return _across(ledger, "other", logs, tasks, tuple(names), heads, ("repeats",))


def _across(
    ledger: Ledger,
    name: str,
    logs: list[LogFile],
    tasks: list[str],
    scorers: tuple[str, ...],
    heads: list[Words],
    metrics: tuple[str, ...],
) -> str:
    columns = [Words(f"{escaped(t)}（%）", f"{escaped(t)} (%)") for t in tasks]
    rows: list[list[Cell]] = []
    for role in ROLES:
        for scorer in scorers:
            found = [one_of(logs, role, task) for task in tasks]
            own = [log if log and scorer in log.scorers else None for log in found]
            names = tuple(n for log in own if log for n in log.names)
            if names:
                cells = [Ask("runs", log.names, scorer) if log else NOTHING for log in own]
                more = [Ask(metric, names) for metric in metrics]
                rows.append([ROLE_WORDS[role], escaped(scorer), *cells, *more])
    return ledger.table(name, [WHO, SCORER, *columns, *heads], 2, rows)


def bfcl(ledger: Ledger, logs: list[LogFile]) -> str:
    """Function calling: one row for each model and family, and a mean that is the mean."""
    families = dict.fromkeys(
        task.removesuffix(f"-{part}")
        for task in _names(logs)
        for part in sorted(BFCL, key=len, reverse=True)
        if task.startswith("bfcl") and task.endswith(f"-{part}")
    )
    # "bfcl-parallel" is what remains of "bfcl-parallel-multiple", and no family.
    families = {f: None for f in families if not f.endswith(("-parallel",))}
    rows: list[list[Cell]] = []
    for family in families:
        for role in ROLES:
            found = [one_of(logs, role, f"{family}-{part}") for part in BFCL]
            names = dict.fromkeys(scorer for log in found if log for scorer in log.scorers)
            for scorer in (name for name in names if not is_lenient(name)):
                own = [log if log and scorer in log.scorers else None for log in found]
                cells = [Ask("runs", log.names, scorer) if log else NOTHING for log in own]
                files = tuple(n for log in own if log for n in log.names)
                mean: Cell = Ask("mean", files, scorer) if all(own) else NOTHING
                rows.append([ROLE_WORDS[role], escaped(family), escaped(scorer), mean, *cells])
    heads = [WHO, Words("題組", "Family"), SCORER, Words("平均 Mean", "Mean"), *BFCL.values()]
    return ledger.table("bfcl", heads, 3, rows)


def scores(ledger: Ledger, logs: list[LogFile]) -> str:
    """Every score, and what became of every answer."""
    accuracy = "正確率 Accuracy % [95 %]"  # only the part of both languages shows this table
    heads = [TASK, SCORER, WHO, Words(accuracy, accuracy)]
    heads += [Words("正確", "Correct"), Words("錯誤", "Wrong"), Words("無法判讀", "Unparsed")]
    heads += [Words("截斷", "Truncated"), Words("失敗", "Failed")]
    heads += [Words("題數 × 次數", "Questions × repeats"), LOG]
    metrics = ("task", "scorer", "role", "score", *OUTCOMES, "asked", "link")
    pairs = [(log, scorer) for task in tasks_of(logs) for log, scorer in by_scorer(task)]
    rows: list[list[Cell]] = [[Ask(m, log.names, scorer) for m in metrics] for log, scorer in pairs]
    return ledger.table("scores", heads, 3, rows)


def differences(ledger: Ledger, logs: list[LogFile]) -> str:
    """Trained minus base, question by question; "" where no task has both."""
    heads = [
        TASK,
        SCORER,
        Words("訓練後 − 訓練前（百分點）[95 %]", "Trained − base, points [95 %]"),
    ]
    heads += [Words("判斷", "Verdict"), Words("較好題數", "Better"), Words("較差題數", "Worse")]
    heads += [Words("共同題數", "Questions"), Words("p 值", "p")]
    metrics = ("task", "scorer", "difference", "verdict", "better", "worse", "shared", "p")
    rows: list[list[Cell]] = []
    for base, trained in pairs_of(logs):
        names = (*base.names, *trained.names)
        rows += [
            # The labels follow from either log, so they name one.
            [Ask(m, base.names if m in metrics[:2] else names, scorer) for m in metrics]
            for scorer in base.scorers
            if scorer in trained.scorers
        ]
    return ledger.table("differences", heads, 2, rows)


def purity_table(ledger: Ledger, logs: list[LogFile]) -> str:
    """In which Chinese the replies are; only evaluations with Han characters in their replies."""
    heads = [TASK, WHO, Words("漢字數", "Han characters")]
    heads += [Words("簡體字 %", "Simplified %"), Words("中國大陸用語 %", "Mainland words %"), LOG]
    metrics = ("task", "role", "han", "simplified", "mainland", "link")
    rows: list[list[Cell]] = [
        [Ask(metric, log.names) for metric in metrics]
        for log in logs
        if purity(ledger.sources.evaluation(log.names)).han
    ]
    return ledger.table("purity", heads, 2, rows)


def logs_table(ledger: Ledger, logs: list[LogFile]) -> str:
    """Every log file, shards one by one."""
    heads = [LOG, WHO, Words("模型檔 sha256", "Model sha256"), Words("引擎", "Engine")]
    held = any(is_held(ledger, log) for log in logs)
    heads += [Words("工具呼叫", "Calls")] * held
    heads += [Words("題數／題庫 × 次數", "Questions / of × repeats"), Words("種子", "Seed")]
    heads += [Words("溫度", "Temperature"), Words("詞元上限", "Token limit")]
    heads += [Words("完成時間", "Finished"), Words("紀錄檔 sha256", "Log sha256")]
    metrics = ["path", "model", "model-sha256", "engine", *["calls"] * held, "plan", "seeds"]
    metrics += ["temperature", "max-tokens", "finished", "sha256"]
    rows: list[list[Cell]] = [
        [Ask(metric, (name,)) for metric in metrics] for log in logs for name in log.names
    ]
    return ledger.table("logs", heads, 1, rows)


def is_held(ledger: Ledger, log: LogFile) -> bool:
    """Whether a grammar held the calls to the schemas of their tools."""
    details = ledger.sources.log(log.name).start["model"].get("details") or {}
    return bool(details.get("calls"))


def tasks_table(ledger: Ledger, logs: list[LogFile]) -> str:
    heads = [TASK, Words("版本", "Version"), Words("題目來源", "Questions from")]
    heads += [Words("資料版本", "Revision"), Words("授權", "Licence"), Words("語言", "Language")]
    metrics = ("task", "version", "source", "revision", "licence", "language")
    rows: list[list[Cell]] = [[Ask(m, (task[0].name,)) for m in metrics] for task in tasks_of(logs)]
    return ledger.table("tasks", heads, 1, rows)


def pairs_of(logs: list[LogFile]) -> list[tuple[LogFile, LogFile]]:
    """(base, trained) of every task that both were asked."""
    found = ((one_of(logs, "base", t), one_of(logs, "trained", t)) for t in _names(logs))
    return [(base, trained) for base, trained in found if base and trained]


def tasks_of(logs: list[LogFile]) -> list[list[LogFile]]:
    return [[log for log in logs if log.task == task] for task in _names(logs)]


def by_scorer(task: list[LogFile]) -> list[tuple[LogFile, str]]:
    """Base and trained under each other for every scorer."""
    names = list(dict.fromkeys(scorer for log in task for scorer in log.scorers))
    return [(log, name) for name in names for log in task if name in log.scorers]


def _names(logs: Sequence[LogFile]) -> list[str]:
    return sorted({log.task for log in logs})


def _scorers(logs: Sequence[LogFile], task: str) -> list[str]:
    return [scorer for log in logs if log.task == task for scorer in log.scorers]
