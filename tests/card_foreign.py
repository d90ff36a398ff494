"""An invented card of somebody else, whole and without a fault, for tests that add one fault."""

from __future__ import annotations

from pathlib import Path

from formosa.card.checks.finding import Finding
from formosa.card.verify import Report, check_card, read_subject

HEAD = """\
---
license: llama3.2
language:
- en
- zh
base_model:
- example/Base-3B
library_name: transformers
pipeline_tag: text-generation
tags:
- zhtw
datasets:
- example/tw-instruct
model-index:
- name: Tiny-3B-Instruct
  results:
  - task:
      type: question-answering
      name: Single Choice
    dataset:
      type: ikala/tmmluplus
      name: tmmlu+
      config: all
      split: test
      revision: c0e8ae955997300d5dbf0e382bf0ba5115f85e8c
    metrics:
    - name: single choice
      type: accuracy
      value: 41.23
  - task:
      type: question-answering
      name: Single Choice
    dataset:
      type: cais/mmlu
      name: mmlu
      config: all
      split: test
      revision: c30699e8356da336a370243923dbaf21066bb9fe
    metrics:
    - name: single choice
      type: accuracy
      value: 52.5
---
"""

BODY = """\
# Model Card for Tiny-3B-Instruct

[![License](https://example.org/badge.svg)](https://huggingface.co/example/Base-3B/blob/main/LICENSE)

- **License:** [llama3.2](https://huggingface.co/example/Base-3B/blob/main/LICENSE)
- **Repository:** [example/Tiny-3B-Instruct](https://huggingface.co/example/Tiny-3B-Instruct)
- **Base model:** [example/Base-3B](https://huggingface.co/example/Base-3B)

## Results

Asked with [Twinkle Eval](https://github.com/ai-twinkle/Eval).

| 模型 | 評測模式 | TMMLU+(%) | MMLU(%) | 測試次數 |
|------|---------|-----------|---------|---------|
| Other-7B | box | 50.10 | 60.20 | 3 |
| [Tiny-3B-Instruct](https://hf.co/example/Tiny-3B-Instruct) (ours) | box | 41.23 | 52.50 | 3 |

| Model | Overall | AST (S.) | AST (M.) |
|-------|---------|----------|----------|
| Tiny-3B-Instruct (ours) | 90 | 92 | 88 |

## Use

```bash
vllm serve example/Tiny-3B-Instruct \\
  --port 8001 \\
  --enable-auto-tool-choice \\
  --tool-call-parser hermes
```

```python
import json

from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8001/v1", api_key="none")


def get_weather(location: str):
    return f"{location}: 26"


def search(query: str):
    return "32%"


functions = {"get_weather": get_weather, "search": search}
tools = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in functions
]
messages = [{"role": "user", "content": "台北氣溫如何?"}]
```

```python
while True:
    reply = client.chat.completions.create(
        model=client.models.list().data[0].id, messages=messages, tools=tools
    )
    message = reply.choices[0].message
    messages.append(message.model_dump(include={"role", "content", "tool_calls"}))
    if not message.tool_calls:
        break
    for call in message.tool_calls:
        result = functions[call.function.name](**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
print(message.content)
```

```json
[{"name": "get_weather", "arguments": {"location": "Taipei"}},
 {"name": "search", "arguments": {"query": "tariffs"}}]
```

## Citation

```bibtex
@misc{tiny,
  title = {Tiny-3B-Instruct: a small model},
  howpublished = {\\url{https://huggingface.co/example/Tiny-3B-Instruct}},
}
```
"""

CARD = HEAD + BODY


def write(folder: Path, text: str = CARD) -> Path:
    path = folder / "README.md"
    path.write_text(text, encoding="utf-8")
    return path


def check(folder: Path, text: str = CARD, logs: Path | None = None) -> Report:
    return check_card(*read_subject(write(folder, text), logs))


def changed(old: str, new: str, text: str = CARD, count: int = 1) -> str:
    """The card with one thing in it changed, which must be there."""
    assert old in text, old
    return text.replace(old, new, count)


def wrong(report: Report) -> list[Finding]:
    """Errors and warnings."""
    return [f for f in report.findings if f.severity in ("error", "warning")]


def only(report: Report, code: str) -> Finding:
    """The one finding of a code."""
    (finding,) = [f for f in report.findings if f.code == code]
    return finding


def codes(report: Report, *severities: str) -> set[str]:
    wanted = severities or ("error", "warning")
    return {f.code for f in report.findings if f.severity in wanted}


def line_of(words: str, text: str = CARD) -> int:
    """The line of the first place where words stand."""
    return text[: text.index(words)].count("\n") + 1
