"""Code blocks, tool calling code and command lines of anybody's card. Nothing is run here."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from card_foreign import CARD, changed, check, codes, line_of, only, wrong
from formosa.card import installed
from formosa.card.checks.commands import Flags, command_lines, known_flags
from formosa.card.checks.shell import commands, quotes_error
from formosa.card.checks.tool_results import shown_calls
from formosa.card.verify import check_card, read_subject
from formosa.engines.vllm_command import Installed
from formosa.errors import UserError


def with_block(language: str, text: str) -> str:
    return f"{CARD}\n```{language}\n{text}\n```\n"


# -- syntax -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "line"),
    [
        ("python", "x = 1\nprint(x\n", 2),
        ("py", "def f():\nreturn 1", 2),
        ("json", '{"a": 1,\n "b": }', 2),
        ("yaml", "a: 1\nb: [1, 2\nc: 3", 3),
        ("jinja", "{% for m in messages %}\n{{ m.content }", 2),
        ("bash", 'echo "never closed', 1),
    ],
)
def test_a_block_that_does_not_parse(tmp_path: Path, language: str, text: str, line: int) -> None:
    card = with_block(language, text)
    finding = only(check(tmp_path, card), "code-syntax")
    assert finding.severity == "error"
    assert finding.line == card.count("\n", 0, card.index(f"```{language}\n{text}")) + 1 + line


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("python", ">>> 1 + 1\n2"),
        ("python", "%pip install x"),
        ("python", 'print("\\d")'),
        ("json", '{"a": 1}\n{"a": 2}'),
        ("json", '{"messages": [...]}'),
        ("jsonc", '// a\n{"a": 1}'),
        ("yaml", "a: &x [1]\nb: *x"),
        ("jinja", "{% generation %}{{ x }}{% endgeneration %}"),
        ("jinja", "{% for a in b %}{% break %}{% endfor %}"),
        ("bash", "$ pip install formosa-lm  # it's here"),
        ("bash", "cat <<'EOF'\nit's open\nEOF"),
        ("text", '"'),
        ("", "{"),
        ("diff", "- a"),
    ],
)  # fmt: skip
def test_blocks_that_are_what_they_say(tmp_path: Path, language: str, text: str) -> None:
    assert wrong(check(tmp_path, with_block(language, text))) == []


def test_blocks_in_another_language_than_they_say(tmp_path: Path) -> None:
    """Both are on the F1 cards: BibTeX as yaml, Python's print of objects as json."""
    bibtex = with_block("yaml", "@misc{x,\n title = {X}\n}")
    assert "BibTeX" in only(check(tmp_path, bibtex), "code-language").message
    printed = "[ChatCompletionMessageToolCall(id='c', function=Function(arguments='{}', name='f'))]"
    finding = only(check(tmp_path, with_block("json", printed)), "code-language")
    assert "Python's own print" in finding.message
    assert finding.severity == "warning"


def test_names_that_no_block_makes(tmp_path: Path) -> None:
    """The F1 cards use a client and `json` that are nowhere made."""
    text = changed("import json\n", "")
    finding = only(check(tmp_path, text), "code-name")
    assert "`import json` is missing" in finding.message
    assert finding.line == line_of("**json.loads", text)
    text = changed("client = OpenAI", "other = OpenAI")
    assert only(check(tmp_path, text), "code-name").message.startswith("client is used")


def test_names_may_be_made_in_another_block_or_in_many_ways(tmp_path: Path) -> None:
    code = (
        "import a.b, c as d\nfrom e import f\ndef g(h, *i, j=1, **k):\n    return h, i, j, k\n"
        "class L: ...\nfor m in range(3):\n    pass\nwith open('x') as n:\n    pass\n"
        "try:\n    pass\nexcept ValueError as o:\n    print(o)\n[p for p in []]\n(q := 1)\n"
        "match q:\n    case [r, *s]:\n        print(r, s)\n    case {'t': t}:\n        print(t)\n"
        "print(a, d, f, g, L, m, n, p, q, __name__, lambda u: u)"
    )
    assert wrong(check(tmp_path, with_block("python", code))) == []
    assert wrong(check(tmp_path, with_block("python", "from x import *\nprint(anything)"))) == []


# -- results by position ------------------------------------------------------------------------

BY_POSITION = """\
reply = client.chat.completions.create(model="m", messages=[], tools=tools)
calls = [
    {"role": "tool",
     "content": search(**json.loads(reply.choices[0].message.tool_calls[0].function.arguments)),
     "tool_call_id": reply.choices[0].message.tool_calls[0].id},
    {"role": "tool",
     "content": get_weather(
         **json.loads(reply.choices[0].message.tool_calls[1].function.arguments)),
     "tool_call_id": reply.choices[0].message.tool_calls[1].id},
]
"""


def test_results_paired_by_position_against_the_order_that_the_card_prints(tmp_path: Path) -> None:
    """Step 4 of both F1 cards."""
    text = with_block("python", BY_POSITION)
    found = [f for f in check(tmp_path, text).findings if f.code == "result-by-position"]
    assert [f.line for f in found] == [
        line_of("search(**", text),
        line_of("tool_calls[1].function", text) - 1,
    ]
    assert found[0].severity == "error"
    assert "call 0 is get_weather" in found[0].message


def test_results_paired_by_position_in_the_printed_order_are_an_error_too(tmp_path: Path) -> None:
    """It works until the model calls in another order."""
    text = with_block("python", BY_POSITION.replace("[0].f", "[x].f").replace("[1].f", "[0].f")
                      .replace("[x].f", "[1].f"))  # fmt: skip
    found = [f for f in check(tmp_path, text).findings if f.code == "result-by-position"]
    assert len(found) == 2
    assert "prints" not in found[0].message


@pytest.mark.parametrize(
    "code",
    [
        "for call, result in zip(message.tool_calls, results):\n    print(call, result)",
        "x = list(zip(results, reply.choices[0].message.tool_calls))",
        "x = search(json.loads(message.tool_calls[0].function.arguments)['query'])",
        "calls = message.tool_calls\nx = search(**json.loads(calls[0].function.arguments))",
    ],
)
def test_other_ways_of_pairing_by_position(tmp_path: Path, code: str) -> None:
    given = "message = reply = results = None\n"
    assert codes(check(tmp_path, with_block("python", given + code))) == {"result-by-position"}


@pytest.mark.parametrize(
    "code",
    [
        "x = functions[call.function.name](**json.loads(call.function.arguments))",
        "print(message.tool_calls[0].function.arguments)",
        "x = json.loads(message.tool_calls[0].function.arguments)",
        "y = zip(functions, tools)",
        "f, c = print, message.tool_calls\nf(c[0].function.name, c[0].function.arguments)",
        "f = print\nf(message.tool_calls[0].function.name, message.tool_calls[0].function)",
        "y = len(message.tool_calls[0].function.arguments)",
    ],
)
def test_code_that_pairs_nothing_by_position(tmp_path: Path, code: str) -> None:
    assert wrong(check(tmp_path, with_block("python", f"call = message = None\n{code}"))) == []


def test_a_field_that_servers_have_renamed(tmp_path: Path) -> None:
    text = with_block("python", "message = None\nprint(message.reasoning_content)")
    finding = only(check(tmp_path, text), "client-field")
    assert finding.line == line_of("print(message.reasoning_content)", text)
    without = text.replace("vllm serve example/Tiny-3B-Instruct", "formosa serve x")
    assert "client-field" not in codes(check(tmp_path, without))


def test_calls_that_a_card_prints(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    calls = shown_calls(read_subject(tmp_path / "README.md")[0])
    assert [(c.name, json.loads(c.arguments)) for c in calls] == [
        ("get_weather", {"location": "Taipei"}),
        ("search", {"query": "tariffs"}),
    ]
    printed = (
        "[X(id='a', function=Function(arguments='{\"q\": \"a\"}', name='f'), type='function'), "
        "X(id='b', function=Function(arguments=\"{}\", name='g'))]"
    )
    text = CARD[: CARD.index("```json")] + f"```text\n{printed}\n```\n"
    (tmp_path / "README.md").write_text(text)
    calls = shown_calls(read_subject(tmp_path / "README.md")[0])
    assert [(c.name, c.arguments) for c in calls] == [("f", '{"q": "a"}'), ("g", "{}")]


# -- shell --------------------------------------------------------------------------------------


def test_commands_out_of_a_shell_block() -> None:
    text = (
        "# a comment\n$ A=1 sudo vllm serve m \\\n    --port 8001 \\\n    --x='a b'\n"
        'cd x && pip install y; echo z | cat &\ncat <<EOF\nvllm serve no\nEOF\necho "open\n'
    )
    made = list(commands(text, 10))
    assert made[0].words == ("vllm", "serve", "m", "--port", "8001", "--x=a b")
    assert made[0].lines == (11, 11, 11, 12, 12, 13)
    names = [command.words[0] for command in made]
    assert names == ["vllm", "cd", "pip", "echo", "cat", "cat"]


@pytest.mark.parametrize(("text", "wrong"), [("a 'b", True), ("a 'b'", False), ("# it's", False)])
def test_quotes(text: str, wrong: bool) -> None:
    assert bool(quotes_error(text)) == wrong


# -- commands -----------------------------------------------------------------------------------


def commanded(tmp_path: Path, line: str) -> set[str]:
    return codes(check(tmp_path, with_block("bash", line)))


@pytest.mark.parametrize(
    "line",
    [
        "vllm serve example/Tiny-3B-Instruct --tensor-parallel-size=2 --max_model_len 4096 -tp 2",
        "vllm serve example/Tiny-3B-Instruct --reasoning-parser deepseek_r1 -O3",
        "vllm serve example/Tiny-3B-Instruct --tool-call-parser $PARSER --hf-overrides.a 1",
        "python -m vllm.entrypoints.openai.api_server --model example/Tiny-3B-Instruct --port 1",
        "docker run --gpus all -p 1:1 vllm/vllm-openai:latest --model example/Tiny-3B-Instruct",
        "llama-server -hf example/Tiny-3B-Instruct-GGUF:Q4_K_M --jinja -c 4096 -ngl 99",
        "./build/bin/llama-server -m tiny.gguf --no-jinja",
        "ollama run hf.co/example/Tiny-3B-Instruct-GGUF:Q4_K_M --verbose",
        "pip install vllm --upgrade",
        "curl -s http://127.0.0.1 --unknown-flag",
    ],
)
def test_commands_of_today(tmp_path: Path, line: str) -> None:
    assert commanded(tmp_path, line) == set()


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        ("vllm serve m --enable-reasoning", "flag-unknown", "--reasoning-parser alone"),
        ("vllm serve m --guided-decoding-backend x", "flag-unknown", "--structured-outputs-config"),
        ("vllm serve m --tensor-paralel-size 2", "flag-unknown", "--tensor-parallel-size?"),
        ("vllm serve m --tool-call-parser hermess", "flag-value", "hermes?"),
        ("vllm serve m --reasoning-parser=deepseek-r1", "flag-value", "deepseek_r1?"),
        ("llama-server -m x.gguf --jinja2", "flag-unknown", "--jinja?"),
        ("llama-server -m x.gguf --reasoning-format deep", "flag-value", "deepseek?"),
        ("llama-server -m x.gguf --draft-max 4", "flag-unknown", "--spec-draft-n-max"),
        ("ollama run tiny --keep-alive 5m", "flag-unknown", "--keepalive?"),
    ],
)
def test_flags_and_values_that_the_engine_does_not_know(
    tmp_path: Path, line: str, code: str, words: str
) -> None:
    text = with_block("bash", line)
    finding = only(check(tmp_path, text), code)
    assert (finding.severity, finding.line) == ("error", line_of(line, text))
    assert words in finding.message


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("AutoModelForCausalLM.from_pretrained('example/Tiny-3B-Instruct')", False),
        ("AutoTokenizer.from_pretrained('example/Base-3B')", False),
        ("AutoModelForCausalLM.from_pretrained('example/Tiny-1B')", True),
        ("pipeline('text-generation', model='example/Tiny-1B')", True),
        ("LLM(model='example/Tiny-1B')", True),
        ("pipeline('text-generation', 'example/Tiny-3B-Instruct')", False),
        ("AutoModelForCausalLM.from_pretrained('./checkpoint')", False),
        ("load_dataset('example/other')", False),
    ],
)
def test_models_that_python_loads(tmp_path: Path, code: str, wrong: bool) -> None:
    text = with_block("python", f"from somewhere import *\n{code}")
    assert codes(check(tmp_path, text)) == ({"command-model"} if wrong else set())


def test_a_flag_on_a_continued_line_has_its_own_line(tmp_path: Path) -> None:
    text = changed("--port 8001", "--prot 8001")
    assert only(check(tmp_path, text), "flag-unknown").line == line_of("--prot", text)


def test_the_report_says_which_version_was_asked(tmp_path: Path) -> None:
    finding = only(check(tmp_path), "command-list")
    assert "0.32.0" in finding.message
    assert "comes with Formosa" in finding.message
    (tmp_path / "README.md").write_text(CARD)
    subject, _ = read_subject(tmp_path / "README.md")
    asked = replace(known_flags("vllm"), version="0.99", installed=True)
    report = check_card(subject, (), lambda engine: asked)
    assert "0.99, the one installed here" in only(report, "command-list").message


def test_flags_of_another_engine_version_count(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(CARD)
    subject, _ = read_subject(tmp_path / "README.md")
    old = Flags("0.8", frozenset({"--port"}))
    found = list(command_lines(subject, lambda engine: old))
    assert {f.code for f in found} == {"flag-unknown", "command-list"}


# -- the engine on this machine -----------------------------------------------------------------


def test_no_vllm_here_means_our_list(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Installed:
        raise UserError("none")

    monkeypatch.setattr(installed, "find_vllm", nowhere)
    assert installed._vllm() == known_flags("vllm")


def test_the_version_of_our_list_needs_no_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_vllm", lambda: Installed("python", "0.32.9", True))
    monkeypatch.setattr(installed, "_help", lambda command: pytest.fail("asked"))
    flags = installed._vllm()
    assert (flags.version, flags.installed) == ("0.32.9", True)


def test_another_version_is_asked_for_its_help(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "usage: x\n" + "".join(f"  --flag-{i} {{a,b}}, -f{i}  about it\n" for i in range(60))
    monkeypatch.setattr(installed, "find_vllm", lambda: Installed("python", "0.40.0", False))
    monkeypatch.setattr(installed, "_help", lambda command: text)
    flags = installed._vllm()
    assert (flags.version, flags.installed, flags.choices) == ("0.40.0", True, {})
    assert {"--flag-7", "-f7", "--help"} <= flags.flags
    monkeypatch.setattr(installed, "_help", lambda command: "it failed")
    assert installed._vllm() == known_flags("vllm")


def test_flags_of_a_help_text() -> None:
    text = "usage: a [--not-me]\n  -c, --ctx-size N   --nor-me\n  --jinja, --no-jinja  words\n"
    assert installed.flags_of_help(text) == {"-c", "--ctx-size", "--jinja", "--no-jinja"}


def test_llama_server_is_asked_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert installed._llama_server() == known_flags("llama-server")
    program = tmp_path / "llama-server"
    lines = "".join(f"echo '  --flag-{i} N   words'\n" for i in range(60))
    program.write_text(f"#!/bin/sh\necho 'version: 7777 (abc)'\n{lines}")
    program.chmod(0o755)
    monkeypatch.setattr(shutil, "which", lambda name: str(program))
    flags = installed._llama_server()
    assert (flags.version, flags.installed) == ("7777", True)
    assert "--flag-3" in flags.flags


@pytest.mark.parametrize("engine", ["vllm", "llama-server", "ollama"])
def test_the_lists_that_we_ship(engine: str) -> None:
    flags = known_flags(engine)
    assert flags.version
    assert not flags.installed
    assert all(flag.startswith("-") for flag in flags.flags | set(flags.choices))
    assert set(flags.choices) <= flags.flags
    assert flags.flags.isdisjoint(flags.gone)
