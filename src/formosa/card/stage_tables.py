"""The tables of everything but the evaluation, from what the other stages of a run reported.

Reports are read by what they hold, not by their schema's number: a field that an older Formosa did
not write is left out, or a dash. `gguf/levels.json` may hold any figures of a level.
"""

from __future__ import annotations

from typing import Any

from formosa.card.figures import NOTHING
from formosa.card.ledger import (
    ADAPTER,
    FLOW,
    LEVELS,
    MODEL,
    PARITY,
    REPORT,
    SUMMARY,
    Cell,
    Ledger,
    Words,
)
from formosa.card.markdown import escaped

Line = tuple[Words, tuple[str | int, ...]]

SOURCE, LICENCE = Words("來源", "Source"), Words("授權", "Licence")
PASSED, DETAIL = Words("通過", "Passed"), Words("說明", "Detail")

STEPS = {
    "two calls": Words("一次回覆呼叫兩個工具", "two calls"),
    "arguments fit the schemas": Words("參數符合 schema", "arguments fit the schemas"),
    "results answered by id": Words("結果以 id 對應", "results answered by id"),
    "final answer uses the results": Words("最後的回答用到結果", "final answer uses the results"),
}
CHECKS = {
    "template": Words("對話模板", "template"),
    "tokens": Words("詞元", "tokens"),
    "divergence": Words("散度", "divergence"),
    "greedy": Words("貪婪解碼", "greedy"),
}


def data_sources(ledger: Ledger) -> str:
    heads = [SOURCE, LICENCE, Words("版本", "Revision"), Words("讀入筆數", "Rows in")]
    heads += [Words("採用筆數", "Rows out"), Words("其中保留", "Of them held out")]
    heads += [Words("重複取樣", "Repeated"), Words("捨棄", "Dropped")]
    heads += [Words("用字純度（平均）", "Purity (mean)")]
    keys = [("name",), ("licence",), ("about", "revision"), ("rows_in",), ("rows_out",)]
    keys += [("heldout",), ("repeated",), ("dropped",)]
    rows: list[list[Cell]] = []
    for i, source in enumerate(ledger.items(REPORT, "sources")):
        measured = isinstance(source, dict) and _rows_of(source.get("purity"))
        pure = ledger.value(REPORT, "sources", i, "purity", "mean") if measured else NOTHING
        rows.append([*(ledger.value(REPORT, "sources", i, *key) for key in keys), pure])
    return ledger.table("data-sources", heads, 1, rows)


def contamination(ledger: Ledger) -> str:
    """What the rows were held against, and how many were left out for it."""
    heads = [Words("評測題庫", "Benchmark"), Words("題目數", "Texts"), Words("工具數", "Tools")]
    heads += [Words("因此捨棄的筆數", "Rows left out")]
    keys = ("benchmark", "texts", "tools", "rows")
    rows: list[list[Cell]] = [
        [ledger.value(REPORT, "contamination", i, key) for key in keys]
        for i in range(len(ledger.items(REPORT, "contamination")))
    ]
    return ledger.table("data-contamination", heads, 1, rows)


def data_kinds(ledger: Ledger) -> str:
    heads = [Words("種類", "Kind"), Words("筆數", "Rows")]
    rows: list[list[Cell]] = [
        [escaped(str(kind)), ledger.value(REPORT, "kinds", kind)]
        for kind in ledger.object(REPORT, "kinds")
    ]
    return ledger.table("data-kinds", heads, 1, rows)


def data_files(ledger: Ledger) -> str:
    pure = _rows_of(ledger.get(REPORT, "purity"))
    lines: list[Line] = [
        (Words("訓練筆數", "Training rows"), ("rows", "train")),
        (Words("保留筆數", "Held-out rows"), ("rows", "heldout")),
        (Words("語言", "Languages"), ("languages",)),
        (Words("總字元數", "Characters"), ("characters", "total")),
        (Words("最長一筆的字元數", "Longest row, characters"), ("characters", "longest")),
        (Words("捨棄的重複筆數", "Duplicates left out"), ("duplicates",)),
        (Words("有中文、量過用字的筆數", "Rows measured for purity"), ("purity", "rows")),
        (Words("用字純度（平均，滿分 1）", "Purity (mean, of 1)"), ("purity", "mean")),
        (Words("用字純度（最低）", "Purity (lowest)"), ("purity", "min")),
        (Words("完全純淨的比例", "Share of pure rows"), ("purity", "pure")),
        (Words("隨機種子", "Seed"), ("seed",)),
        (Words("處理規則版本", "Versions of the rules"), ("versions",)),
        (Words("train.jsonl sha256", "train.jsonl sha256"), ("sha256", "train")),
        (Words("heldout.jsonl sha256", "heldout.jsonl sha256"), ("sha256", "heldout")),
    ]
    kept = [line for line in lines if pure or line[1][0] != "purity"]
    return ledger.settings("data-files", _cells(ledger, REPORT, kept))


def _rows_of(purity: Any) -> bool:
    return isinstance(purity, dict) and bool(purity.get("rows"))


def training(ledger: Ledger) -> str:
    last = len(ledger.items(SUMMARY, "heldout")) - 1
    base = [
        (Words("基底", "Base"), _base(ledger, "name")),
        (Words("基底版本", "Base revision"), _base(ledger, "revision")),
        (Words("基底檔 sha256", "Base sha256"), _base(ledger, "sha256")),
    ]
    lines: list[Line] = [
        (Words("目標", "Objective"), ("objective",)),
        (Words("方法", "Method"), ("method",)),
        (Words("LoRA", "LoRA"), ("lora",)),
        (Words("接著練的 adapter（sha256）", "Adapter it began with (sha256)"), ("start_sha256",)),
        (Words("筆數", "Rows"), ("rows",)),
        (Words("捨棄", "Dropped"), ("dropped",)),
        (Words("詞元", "Tokens"), ("tokens",)),
        (Words("計入損失的詞元", "Trained tokens"), ("trained_tokens",)),
        (Words("步數", "Steps"), ("steps",)),
        (Words("輪數", "Epochs"), ("epochs",)),
        (Words("每步筆數", "Rows per step"), ("rows_per_step",)),
        (Words("學習率", "Learning rate"), ("learning_rate",)),
        (Words("學習率排程", "Schedule"), ("schedule",)),
        (Words("精度", "Precision"), ("precision",)),
        (Words("裝箱", "Packing"), ("packing",)),
        (Words("相同工具只算一次", "Shared beginnings computed once"), ("share_prefix",)),
        (Words("新增的詞元", "Added tokens"), ("added_tokens",)),
        (Words("隨機種子", "Seed"), ("seed",)),
        (Words("最初損失", "First loss"), ("loss", "first")),
        (Words("最後損失", "Last loss"), ("loss", "last")),
        (Words("保留集損失", "Held-out loss"), ("heldout", last, "loss")),
        (Words("保留集完全正確的呼叫", "Held-out exact calls"), ("heldout", last, "exact_call")),
        (
            Words("保留集該不該呼叫（開頭）", "Held-out replies that begin as a call"),
            ("heldout", last, "relevance"),
        ),
        (Words("秒數", "Seconds"), ("seconds",)),
        (Words("每秒詞元", "Tokens per second"), ("tokens_per_second",)),
        (Words("行程數", "Processes"), ("processes",)),
        (Words("記憶體峰值（GB）", "Peak memory (GB)"), ("peak_memory_gb",)),
        (Words("硬體", "Hardware"), ("hardware",)),
        (Words("套件", "Packages"), ("versions",)),
        (Words("對話模板 sha256", "Template sha256"), ("template_sha256",)),
    ]
    empty = ("lora", "start_sha256", "dropped", "share_prefix", "added_tokens", "relevance")
    lines = [line for line in lines if line[1][-1] not in empty or ledger.get(SUMMARY, *line[1])]
    return ledger.settings("training", [*base, *_cells(ledger, SUMMARY, lines)])


def _cells(ledger: Ledger, file: str, lines: list[Line]) -> list[tuple[Words, Cell]]:
    return [(label, ledger.value(file, *steps)) for label, steps in lines]


def _base(ledger: Ledger, key: str) -> Cell:
    """A cell about the base model: what the recipe named, else what was trained from."""
    named = ledger.value(MODEL, key) if ledger.get(MODEL, key) else NOTHING
    return named if named != NOTHING else ledger.value(SUMMARY, "base", key)


def parity(ledger: Ledger) -> str:
    heads = [Words("檢查", "Check"), PASSED, Words("比較數", "Compared"), DETAIL]
    return ledger.table("parity", heads, 1, _named(ledger, PARITY, "checks", CHECKS, "compared"))


def flow_steps(ledger: Ledger) -> str:
    heads = [Words("步驟", "Step"), PASSED, DETAIL]
    return ledger.table("flow-steps", heads, 1, _named(ledger, FLOW, "steps", STEPS))


def _named(
    ledger: Ledger, file: str, key: str, known: dict[str, Words], *more: str
) -> list[list[Cell]]:
    """Rows of something with a name, whether it passed, and a detail."""
    rows: list[list[Cell]] = []
    for i, item in enumerate(ledger.items(file, key)):
        name = item.get("name") if isinstance(item, dict) else None
        first: Cell = known.get(str(name)) or ledger.value(file, key, i, "name")
        others = [ledger.value(file, key, i, field) for field in ("passed", *more, "detail")]
        rows.append([first, *others])
    return rows


def exported(ledger: Ledger) -> str:
    lines: list[Line] = [
        (Words("檔案", "File"), ("file",)),
        (Words("量化", "Quantisation"), ("quantisation",)),
        (Words("檢查用的引擎", "Engine of the checks"), ("engine",)),
        (Words("sha256", "sha256"), ("sha256",)),
    ]
    return ledger.settings("exported", _cells(ledger, PARITY, lines))


def adapter(ledger: Ledger) -> str:
    lines: list[Line] = [
        (Words("檔案", "File"), ("file",)),
        (Words("精度", "Level"), ("level",)),
        (Words("位元組", "Bytes"), ("bytes",)),
        (Words("sha256", "sha256"), ("sha256",)),
        (Words("加在哪個基底上", "Added to the base"), ("base",)),
        (Words("基底檔 sha256", "Base sha256"), ("base_sha256",)),
    ]
    return ledger.settings("adapter", _cells(ledger, ADAPTER, lines))


LEVEL_HEADS = {
    "file": Words("檔案", "File"),
    "bytes": Words("位元組", "Bytes"),
    "divergence": Words("KL 散度（每詞元 nat）", "KL divergence (nats per token)"),
    "same_first": Words("首選詞元相同（滿分 1）", "Same first choice (of 1)"),
    "tokens_per_second": Words("每秒詞元", "Tokens per second"),
    "sha256": Words("sha256", "sha256"),
}
NAME_KEYS = ("level", "quantisation", "name")


def levels(ledger: Ledger) -> str:
    """Size, speed and what is lost, one row for each quantised file.

    A column for each figure of the report, known or not, and one for each task that was asked.
    """
    found = ledger.items(LEVELS, "levels")
    rows_of = [(i, level) for i, level in enumerate(found) if isinstance(level, dict)]
    keys = list(dict.fromkeys(key for _, level in rows_of for key in level if key != "scores"))
    name = next((key for key in NAME_KEYS if key in keys), "")
    known = [key for key in LEVEL_HEADS if key in keys]
    others = [key for key in keys if key not in LEVEL_HEADS and key not in NAME_KEYS]
    shown = [k for k in (*known, *others) if any(_shows(level.get(k)) for _, level in rows_of)]
    tasks = dict.fromkeys(
        task for i, _ in rows_of for task in ledger.object(LEVELS, "levels", i, "scores")
    )
    heads = [Words("量化", "Quantisation")]
    heads += [LEVEL_HEADS.get(key) or Words(escaped(key), escaped(key)) for key in shown]
    heads += [Words(f"{escaped(t)}（%）[95 %]", f"{escaped(t)} (%) [95 %]") for t in tasks]
    rows: list[list[Cell]] = [
        [
            *(ledger.value(LEVELS, "levels", i, key) for key in (name, *shown)),
            *(ledger.interval(LEVELS, "levels", i, "scores", task) for task in tasks),
        ]
        for i, _ in rows_of
    ]
    return ledger.table("levels", heads, 1, rows) if name else ""


def _shows(value: Any) -> bool:
    return value is not None and value != {} and value != []


def programs(ledger: Ledger) -> str:
    """Which programs ran with these files, in which version, and which did not."""
    ran, idle = Words("實際跑過", "ran here"), Words("沒有在這裡跑過", "not run here")
    served, checked = ledger.value(FLOW, "client"), ledger.value(PARITY, "engine")
    compared = Words("匯出檢查用它比對過", "compared by the export checks")
    asked = Words("用來走完下面的工具呼叫流程", "went through the tool flow below")
    torch = ledger.value(SUMMARY, "versions", "transformers")
    rows: list[list[Cell]] = [
        [Words("Formosa（伺服器）", "Formosa (server)"), NOTHING,
         ran if ledger.has(FLOW) else idle],
        [Words("Python 用戶端", "Python client"), served, asked if served != NOTHING else idle],
        [Words("llama.cpp（內嵌）", "llama.cpp (embedded)"), checked,
         compared if checked != NOTHING else idle],
        ["transformers", torch, Words("訓練時用過", "used for the training")
         if torch != NOTHING else idle],
        ["llama-server", NOTHING, idle],
        ["Ollama", NOTHING, idle],
        ["vLLM", NOTHING, idle],
    ]  # fmt: skip
    heads = [Words("程式", "Program"), Words("版本", "Version"), Words("狀態", "State")]
    return ledger.table("programs", heads, 1, rows)
