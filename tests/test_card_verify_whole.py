"""An invented card with the faults of the published ones, all at once, and each put right.

The published cards are nobody's test data; what was found on them is told again here, small.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from card_foreign import check, codes, write
from formosa.card.checks.finding import CODES
from formosa.cli.card import card
from formosa.cli.card_report import report_lines

FAULTY = """\
---
license: llama3.2
language:
- en
- zh
base_model:
- example/Base-3B
- example/Mid-3B
library_name: transformers
model-index:
- name: Pine-3B-Thinking
  results:
  - task:
      type: question-answering
    dataset:
      type: ikala/tmmluplus
      name: tmmlu+
      revision: c0e8ae9
    metrics:
    - name: single choice
      type: accuracy
      value: 46.16
---
# Model Card for Pine-3B-Thinking (a.k.a __Pine__)

<a href="https://huggingface.co/example/Base-1B/blob/main/LICENSE.txt">
<img alt="License" src="https://example.org/badge.svg"/>
</a>

- **License:** [llama3.2](https://huggingface.co/example/Base-1B/blob/main/LICENSE.txt)
- **Repository:** [example/Pine-3B-Thinking](https://huggingface.co/example/Pine-3B-Thinking)

下表採用 [Twinkle Eval](https://github.com/ai-twinkle/Eval) 評測框架
| 模型 | 評測模式 | TMMLU+(%) | 測試次數 | 選項排序 |
|------|---------|-----------|---------|---------|
| [other/Other-7B](https://huggingface.co/other/Other-7B) | box | 56.15 (±0.0172) | 3 | 隨機 |
| [example/Pine-3B-Thinking](https://huggingface.co/example/Pine-3B-Thinking) (ours) | box | 46.16 (±0.0198) | 3 | 隨機 |

| Model | Overall Accuracy | AST Accuracy (S.) | AST Accuracy (M.) |
|-------|------------------|-------------------|-------------------|
| Other-7B | 57 | 56 | 54 |
| [example/Pine-3B-Thinking](https://huggingface.co/example/Pine-3B-Thinking) (ours) | **91** | 93 | 88 |

```bash
vllm serve example/Pine-3B-Thinking \\
  --enable-reasoning \\
  --reasoning-parser deepseek_r1 \\
  --tool-call-parser hermes
```

```python
def get_weather(location: str):
    return f"{location} 26"

def search(query: str):
    return "32%"

tools = [
 {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}},
 {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}},
]
```

```python
response = client.chat.completions.create(
 model=client.models.list().data[0].id,
 messages=[{"role": "user", "content": "台北氣溫如何?"}],
 tools=tools,
)
print(response.choices[0].message.reasoning_content)
```

```json
[Call(id='a', function=Function(arguments='{"location": "Taipei"}', name='get_weather')),
 Call(id='b', function=Function(arguments='{"query": "tariffs"}', name='search'))]
```

```python
calls = response.choices[0].message.tool_calls
messages = [
 {"role": "tool", "content": search(**json.loads(calls[0].function.arguments)),
  "tool_call_id": calls[0].id},
 {"role": "tool", "content": get_weather(**json.loads(calls[1].function.arguments)),
  "tool_call_id": calls[1].id},
]
```

```yaml
@misc{pine,
 title = {Pine-3B-Thinking: A Small Model},
 howpublished = {\\url{https://huggingface.co/example/Pine-3B}},
}
```
"""  # noqa: E501  rows of tables are one line

EXPECTED = Counter(
    {
        "base-model-several": 1,
        "pipeline-missing": 1,
        "revision-short": 1,
        "plus-minus-unit": 1,
        "mean-differs": 1,
        "mean-mixed": 1,
        "mean-rounding": 1,
        "license-link": 1,
        "citation-link": 1,
        "table-without-revision": 1,
        "code-language": 2,
        "code-name": 2,
        "result-by-position": 2,
        "client-field": 1,
        "flag-unknown": 1,
        "command-list": 1,
        "model-index-without-claim": 1,
        "number-without-claim": 10,
    }
)

REPAIRS = [
    ("base-model-several", [("- example/Mid-3B\n", "")]),
    ("pipeline-missing", [("library_name:", "pipeline_tag: text-generation\nlibrary_name:")]),
    ("revision-short", [("c0e8ae9", "c0e8ae955997300d5dbf0e382bf0ba5115f85e8c")]),
    ("plus-minus-unit", [("(±0.0172)", "(±1.72)"), ("(±0.0198)", "(±1.98)")]),
    ("license-link", [("Base-1B", "Base-3B"), ("Base-1B", "Base-3B")]),
    ("citation-link", [("example/Pine-3B}", "example/Pine-3B-Thinking}")]),
    ("code-name", [("def get_weather", "import json\nfrom openai import OpenAI\n"
                    "client = OpenAI()\ndef get_weather")]),
    ("client-field", [(".reasoning_content", ".reasoning")]),
    ("flag-unknown", [("  --enable-reasoning \\\n", "")]),
    ("result-by-position", [
        ("search(**json.loads(calls[0].function.arguments))",
         "run(calls[0].function.name, calls[0].function.arguments)"),
        ("get_weather(**json.loads(calls[1].function.arguments))",
         "run(calls[1].function.name, calls[1].function.arguments)"),
    ]),
]  # fmt: skip


def test_everything_is_found_at_once(tmp_path: Path) -> None:
    report = check(tmp_path, FAULTY)
    assert Counter(f.code for f in report.findings) == EXPECTED
    assert (report.claims, report.supported) == (11, 0)


@pytest.mark.parametrize(("code", "changes"), REPAIRS, ids=[code for code, _ in REPAIRS])
def test_each_fault_put_right_is_not_found_any_more(
    tmp_path: Path, code: str, changes: list[tuple[str, str]]
) -> None:
    """And nothing else changes but what follows from it."""
    text = FAULTY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    left = Counter(f.code for f in check(tmp_path, text).findings)
    assert code not in left
    follows = {"code-name", "code-language"}  # a repaired step uses `run`, which is not written
    assert {c for c in EXPECTED - left if c != code} <= follows
    assert set(left - EXPECTED) <= follows


def test_every_finding_has_its_line(tmp_path: Path) -> None:
    lines = FAULTY.split("\n")
    wanted = {
        "revision-short": "revision: c0e8ae9",
        "license-link": "Base-1B",
        "plus-minus-unit": "56.15",
        "mean-mixed": "Overall Accuracy",
        "mean-differs": "| 57 |",
        "flag-unknown": "--enable-reasoning",
        "client-field": "reasoning_content",
        "result-by-position": "**json.loads(calls[",
        "citation-link": "howpublished",
        "code-name": "c",
        "base-model-several": "base_model:",
    }
    findings = check(tmp_path, FAULTY).findings
    for code, words in wanted.items():
        for finding in (f for f in findings if f.code == code):
            assert words in lines[finding.line - 1], finding


REPORT = """\
errors (3)
  line 54 · flag-unknown · vllm
      vllm 0.32.0 knows no flag --enable-reasoning: older versions had it; --reasoning-parser alone
      turns reasoning on.
"""


def test_the_report_for_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    path = tmp_path / "README.md"
    text = "\n".join(report_lines(path, check(tmp_path, FAULTY)))
    line = FAULTY.split("\n").index("  --enable-reasoning \\") + 1
    assert text.startswith(REPORT.replace("line 54", f"line {line}"))
    assert "\nwarnings (11)\n" in text
    assert "\nnotes (5)\n" in text
    assert "\nclaimed: nothing here supports these, and nothing contradicts them (11)\n" in text
    assert text.endswith(
        f"{path}: NOT verified: 3 errors, 11 warnings, 5 notes; 11 claims, of which 0 supported"
    )
    sentences = [line for line in text.split("\n") if line.startswith(" " * 6)]
    assert all(len(line) <= 100 for line in sentences if "to check: " not in line)
    assert "to check: formosa eval run tmmluplus-twinkle-box --base-url URL --repeats 3" in text


def test_the_report_for_programs(tmp_path: Path) -> None:
    path = write(tmp_path, FAULTY)
    result = CliRunner().invoke(card, ["verify", str(path), "--json"], standalone_mode=False)
    assert result.return_value == 1
    value = json.loads(result.stdout)
    assert value["model"] == "example/Pine-3B-Thinking"
    assert value["counts"] == {"error": 3, "warning": 11, "note": 5, "claimed": 11}
    for finding in value["findings"]:
        assert finding["severity"] == CODES[finding["code"]][0]
        assert finding["where"]
        assert finding["message"][-1] in ".?"
        assert isinstance(finding["line"], int)


def test_the_same_card_gives_the_same_report(tmp_path: Path) -> None:
    assert check(tmp_path, FAULTY) == check(tmp_path, FAULTY)


def test_a_card_with_faults_in_its_front_matter_has_its_others_still_found(tmp_path: Path) -> None:
    broken = FAULTY.replace("license: llama3.2", "license: *x", 1)
    found = codes(check(tmp_path, broken))
    assert {"front-matter", "plus-minus-unit", "result-by-position", "flag-unknown"} <= found
