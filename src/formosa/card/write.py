"""A complete card in Traditional Chinese and English from the files of a run folder.

The prose is `card.md.jinja`; tables and claims come from tables.py; the tool-calling walk-through
quotes what the model said, word for word, in code blocks that nothing in it can end. The same
files always give the same bytes: no clock, no machine name, no absolute path.

What a run did not do is said in the card and not invented. A score that is not finished is refused.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from pprint import pformat
from typing import Any

from jinja2 import Environment, StrictUndefined

from formosa import __version__
from formosa.card import tables
from formosa.card.claims import write_claims
from formosa.card.eval_results import write_eval_results
from formosa.card.hub import LICENSES, is_hub_id
from formosa.card.markdown import code_block, escaped
from formosa.card.tables import FLOW, PARITY, REPORT, SUMMARY, Ledger, LogFile
from formosa.card.values import Card
from formosa.errors import CardError
from formosa.files import write_text

CARD_NAME = "README.md"


def write_card(run_folder: Path) -> str:
    """Write README.md into a run folder, with the hub's `.eval_results/`, and return its text.

    Raises:
        CardError: the folder holds nothing of a run, a file in it is damaged, or an evaluation is
            not finished.
        LogError: a log can't be read.
    """
    ledger = Ledger(run_folder)
    if not tables.has_anything(ledger):
        raise CardError(
            f"{run_folder} is no run folder: it holds neither logs nor a report of any stage.",
            "make one: formosa run recipes/mini.yaml",
        )
    tables.readable(ledger)
    logs = tables.find_logs(ledger)
    name = run_folder.resolve().name
    fields = front_fields(ledger, logs, name)
    body = _body(ledger, logs, name)
    text = Card(fields, "\n" + body + write_claims(ledger.claims())).text()
    write_text(run_folder / CARD_NAME, text)
    write_eval_results(ledger.sources, logs)
    return text


def front_fields(ledger: Ledger, logs: list[LogFile], name: str) -> dict[str, Any]:
    """The front matter, in the order of the F1 cards."""
    base = tables.base_of(ledger)
    licence = base["licence"]
    fields: dict[str, Any] = {"license": licence if licence in LICENSES else "unknown"}
    if licence and licence not in LICENSES:
        fields |= {"license": "other", "license_name": licence}
    fields["language"] = ["en", "zh"]
    if base["hub_id"]:
        fields["base_model"] = [base["hub_id"]]
    fields["library_name"] = "transformers"
    fields["pipeline_tag"] = "text-generation"
    fields["tags"] = ["Taiwan", "zhtw", "SLM", "tool-calling", "hermes", "gguf", "formosa"]
    names = [
        str(ledger.get(REPORT, "sources", i, *place) or "")
        for i in range(ledger.count(REPORT, "sources"))
        for place in (("name",), ("about", "hub"))
    ]
    if datasets := [source for source in dict.fromkeys(names) if is_hub_id(source)]:
        fields["datasets"] = datasets
    results = [
        ledger.result(log, scorer)
        for log in logs
        if log.role == "trained"
        for scorer in log.scorers
    ]
    if results:
        from huggingface_hub.repocard_data import eval_results_to_model_index

        fields["model-index"] = eval_results_to_model_index(name, results)
        fields["metrics"] = ["accuracy"]
    return fields


def _body(ledger: Ledger, logs: list[LogFile], name: str) -> str:
    gguf = next(iter(sorted((ledger.sources.root / "gguf").glob("*.gguf"))), None)
    plans = [ledger.sources.log(log.name).start["plan"] for log in logs]
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  Markdown, not HTML: the filters `md` and `code` escape
    )
    environment.filters |= {"md": escaped, "code": lambda text: escaped(text).replace("`", "")}
    template = Path(__file__).with_name("card.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        name=name,
        version=__version__,
        run=shlex.quote(f"runs/{name}"),
        base_link=_base_link(ledger),
        languages="、".join(map(str, ledger.get(REPORT, "languages") or ())),
        license_line=_license_line(ledger),
        gguf=f"gguf/{gguf.name}" if gguf else "",
        gguf_shell=shlex.quote(f"gguf/{gguf.name}") if gguf else "",
        checkpoint=(ledger.sources.root / "checkpoint").is_dir(),
        subset=any((plan.get("original") or 0) > (plan.get("samples") or 0) for plan in plans),
        scores=tables.scores(ledger, logs) if logs else "",
        differences=tables.differences(ledger, logs),
        tasks=tables.tasks_table(ledger, logs) if logs else "",
        logs=tables.logs_table(ledger, logs) if logs else "",
        flow=_flow(ledger) if ledger.has(FLOW) else None,
        flow_steps=tables.flow_steps(ledger) if ledger.count(FLOW, "steps") else "",
        report=ledger.has(REPORT),
        data_sources=tables.data_sources(ledger),
        data_kinds=tables.data_kinds(ledger),
        data_contamination=tables.data_contamination(ledger),
        data_files=tables.data_files(ledger),
        summary=ledger.has(SUMMARY),
        training=tables.training(ledger),
        parity=tables.parity(ledger) if ledger.has(PARITY) else "",
        exported=tables.exported(ledger),
        citation=_citation(ledger, logs, name),
    )


def _base_link(ledger: Ledger) -> str:
    base = tables.base_of(ledger)
    if is_hub_id(base["hub_id"]):
        return f"[{escaped(base['hub_id'])}](https://huggingface.co/{base['hub_id']})"
    return escaped(base["name"]) or "（未記錄 not recorded）"


def _license_line(ledger: Ledger) -> str:
    licence = tables.base_of(ledger)["licence"]
    if not licence:
        return "未記錄 not recorded; 使用前請先確認基底模型的授權 ask for the base model's first"
    return (
        f"{escaped(licence)}，沿用基底模型 as the base model; "
        "訓練資料的授權見下表 for the data's, see below"
    )


def _flow(ledger: Ledger) -> dict[str, Any]:
    try:
        return _read_flow(ledger)
    except (AttributeError, TypeError) as error:
        raise CardError(f"{FLOW} holds no conversation: {error}.", "serve and try again") from error


def _read_flow(ledger: Ledger) -> dict[str, Any]:
    """What the walk-through shows. Whatever the record lacks is left out."""
    messages = [m for m in ledger.get(FLOW, "messages") or [] if isinstance(m, dict)]
    tools = ledger.get(FLOW, "tools") or []
    called = {
        call.get("id"): (call.get("function") or {}).get("name")
        for message in messages
        for call in message.get("tool_calls") or []
    }
    results = {
        called.get(message.get("tool_call_id"), message.get("name")): str(message.get("content"))
        for message in messages
        if message.get("role") == "tool"
    }
    asked = []
    for message in messages:
        if message.get("role") not in ("system", "user"):
            break
        asked.append({"role": message["role"], "content": message.get("content")})
    return {
        "file": FLOW,
        "client": str(ledger.get(FLOW, "client") or "a client"),
        "served": str(ledger.get(FLOW, "served") or "the model"),
        "passed": ledger.get(FLOW, "passed") is True,
        "define": code_block(
            _DEFINE.format(tools=_python(tools), results=_python(results)), "python"
        ),
        "ask": code_block(_ASK.format(messages=_python(asked)), "python"),
        "turns": [_turn(message) for message in messages],
    }


# A result is looked up by the name in the call and answered under the id of the call: results may
# come in any order, and the model may have made another number of calls than expected.
_DEFINE = """\
import json

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
tools = {tools}

# What the tools answered in this run; put your functions here.
recorded = {results}


def run_tool(name: str, arguments: dict) -> str:
    return recorded.get(name, f"no tool is called {{name}}")
"""

_ASK = """\
messages = {messages}
model = client.models.list().data[0].id
reply = client.chat.completions.create(model=model, messages=messages, tools=tools)
said = reply.choices[0].message
for _ in range(4):  # rounds of calls; a small model may never stop
    if not said.tool_calls:
        break
    messages.append(said.model_dump(exclude_none=True))
    for call in said.tool_calls:
        result = run_tool(call.function.name, json.loads(call.function.arguments))
        messages.append({{"role": "tool", "tool_call_id": call.id, "content": result}})
    reply = client.chat.completions.create(model=model, messages=messages, tools=tools)
    said = reply.choices[0].message
print(said.content)
"""

_HEADS = {
    "system": "**系統 System**",
    "user": "**使用者 User**",
    "assistant": "**模型 Model**",
    "tool": "**工具結果 Tool result**",
}


def _python(value: Any) -> str:
    return pformat(value, sort_dicts=False, width=96)


def _turn(message: dict[str, Any]) -> dict[str, str]:
    role = str(message.get("role"))
    head = _HEADS.get(role, escaped(role))
    if role == "tool":
        head += f" (`tool_call_id`: {escaped(str(message.get('tool_call_id')))})"
    calls = message.get("tool_calls")
    if calls:
        shown = {key: message[key] for key in ("content", "tool_calls") if message.get(key)}
        text = json.dumps(shown, ensure_ascii=False, indent=2)
        return {"head": head, "block": code_block(text, "json")}
    return {"head": head, "block": code_block(str(message.get("content") or ""), "text")}


def _citation(ledger: Ledger, logs: list[LogFile], name: str) -> str:
    """BibTeX. The year is that of the evaluation, since nothing else in a run has one."""
    ends = [str((ledger.sources.log(log.name).end or {}).get("finished", "")) for log in logs]
    years = sorted(end[:4] for end in ends if end[:4].isdecimal())
    key = "".join(c for c in name if c.isalnum() and c.isascii()) or "model"
    base = tables.base_of(ledger)
    lines = [
        f"@misc{{{key},",
        f"  title = {{{name}: a small tool-calling model for Traditional Chinese}},",
        f"  note = {{Fine-tuned from {base['hub_id'] or base['name'] or 'an unrecorded base'} "
        f"with Formosa {__version__}}},",
        *([f"  year = {{{years[-1]}}}"] if years else []),
        "}",
    ]
    return code_block("\n".join(lines), "bibtex")
