"""`card verify --run-code`: the walk-through of a card, really run, and kept to its place."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from card_foreign import CARD, changed, check, line_of, write
from card_run import make_run
from formosa.card.checks.finding import Finding
from formosa.card.verify import read_subject
from formosa.card.walkthrough import ANSWER, Call, Walkthrough, replies, walkthrough
from formosa.card.write import write_card
from formosa.cli import card_child, card_code
from formosa.cli.card_code import run_code

pytest.importorskip("openai")

BY_POSITION = """\
reply = client.chat.completions.create(
    model=client.models.list().data[0].id, messages=messages, tools=tools
)
first, second = reply.choices[0].message.tool_calls
results = [
    search(**json.loads(reply.choices[0].message.tool_calls[0].function.arguments)),
    get_weather(**json.loads(reply.choices[0].message.tool_calls[1].function.arguments)),
]
"""


def loop_replaced(code: str) -> str:
    """The card with other code for its second Python block."""
    start = CARD.index("while True:")
    return CARD[:start] + code + CARD[CARD.index("```", start) :]


def run(folder: Path, text: str = CARD) -> Finding:
    (finding,) = run_code(read_subject(write(folder, text))[0])
    return finding


def made(folder: Path, text: str = CARD) -> Walkthrough:
    value = walkthrough(read_subject(write(folder, text))[0])
    assert isinstance(value, Walkthrough)
    return value


# -- what is run --------------------------------------------------------------------------------


def test_the_program_has_the_lines_of_the_card(tmp_path: Path) -> None:
    program = made(tmp_path).program.split("\n")
    lines = CARD.split("\n")
    for word in ("def search", "while True:", "print(message.content)"):
        line = line_of(word)
        assert program[line - 1] == lines[line - 1]
    assert program[0].startswith("import json, os; from openai")


def test_the_calls_are_those_that_the_card_prints(tmp_path: Path) -> None:
    value = made(tmp_path)
    assert [call.name for call in value.calls] == ["get_weather", "search"]
    assert value.printed
    assert not value.thinks


def test_calls_are_made_from_the_tools_where_none_are_printed(tmp_path: Path) -> None:
    tool = (
        'tools = [{"type": "function", "function": {"name": "f", "parameters": {"properties": '
        '{"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}, "c": {}}}}}]\n'
        "client.chat.completions.create(tools=tools)\n"
    )
    text = loop_replaced(tool)
    text = text[: text.index("```json")]
    value = made(tmp_path, text)
    assert value.calls == (Call("f", {"a": 1, "b": "x", "c": "text"}),)
    assert not value.printed


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("print(1)", "no Python block asks a server"),
        ("import torch\nclient.chat.completions.create()", "no Python block asks a server"),
        ("from __future__ import annotations\nclient.chat.completions", "from __future__"),
    ],
)
def test_a_card_without_a_walk_through_says_so(tmp_path: Path, code: str, why: str) -> None:
    finding = run(tmp_path, loop_replaced(code + "\n"))
    assert (finding.code, finding.severity) == ("code-not-run", "note")
    assert why in finding.message


def test_the_scripted_model_answers_once_it_has_results() -> None:
    say = replies([Call("f", {"a": "台北"})])
    assert '"台北"' in say("question")
    assert say("… <tool_response> …") == ANSWER
    assert replies([], thinks=True)("question").startswith("<think>")


# -- how it ends --------------------------------------------------------------------------------


def test_code_that_answers_by_id_runs_in_any_order(tmp_path: Path) -> None:
    finding = run(tmp_path)
    assert (finding.code, finding.severity) == ("code-ran", "note")
    assert "in both orders" in finding.message


def test_code_that_pairs_by_position_crashes_in_the_order_that_the_card_prints(
    tmp_path: Path,
) -> None:
    """Asked for: step 4 of the F1 cards."""
    text = loop_replaced(BY_POSITION)
    finding = run(tmp_path, text)
    assert (finding.code, finding.severity) == ("code-fails", "error")
    assert "TypeError: search() got an unexpected keyword argument 'location'" in finding.message
    assert "the order that the card prints (get_weather, search)" in finding.message
    assert "the other way round it runs to its end" in finding.message
    assert finding.line == line_of("    search(**json", text)
    static = [f for f in check(tmp_path, text).findings if f.code == "result-by-position"]
    assert static[0].line == finding.line


def test_the_other_order_is_tried_too(tmp_path: Path) -> None:
    text = loop_replaced(BY_POSITION.replace("[0].f", "[9].f").replace("[1].f", "[0].f")
                         .replace("[9].f", "[1].f"))  # fmt: skip
    finding = run(tmp_path, text)
    assert finding.code == "code-fails"
    assert "turned round (search, get_weather)" in finding.message
    assert "as it stands it runs to its end" in finding.message


def test_client_imports_and_thoughts_are_there_where_the_card_counts_on_them(
    tmp_path: Path,
) -> None:
    """As on the card of F1-Reasoning."""
    start, end = CARD.index("import json"), CARD.index("def get_weather")
    text = changed("print(message.content)", "print(message.reasoning_content.strip())",
                   CARD[:start] + CARD[end:])  # fmt: skip
    assert made(tmp_path, text).thinks
    assert run(tmp_path, text).code == "code-ran"


def test_the_walk_through_that_formosa_writes_runs(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    write_card(folder)
    (finding,) = run_code(read_subject(folder / "README.md")[0])
    assert finding.code == "code-ran"
    assert "in both orders" in finding.message


def test_code_that_leaves_its_place_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORMOSA_SECRET", "key")
    text = loop_replaced("client.chat.completions\nos.environ['FORMOSA_SECRET']\n")
    assert "KeyError: 'FORMOSA_SECRET'" in run(tmp_path, text).message


def test_code_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card_code, "PATIENCE", 1.0)
    finding = run(tmp_path, loop_replaced("while client.chat.completions:\n    pass\n"))
    assert finding.code == "code-fails"
    assert "did not end within 1 seconds" in finding.message


def test_without_the_client_nothing_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    finding = run(tmp_path)
    assert finding.code == "code-not-run"
    assert "pip install openai" in finding.message


# -- what the process may not -------------------------------------------------------------------


def child(folder: Path, code: str, port: int = 1) -> subprocess.CompletedProcess[str]:
    (folder / "p.py").write_text(code)
    command = [sys.executable, "-I", card_child.__file__, "p.py", str(port)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import socket\nsocket.create_connection(('192.0.2.1', 80))", "may not ask for 192.0.2.1"),
        ("import socket\nsocket.socket().connect(('192.0.2.1', 80))", "the scripted server only"),
        ("import urllib.request\nurllib.request.urlopen('http://example.org')", "may not ask for"),
        ("import socket\nsocket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
        ("import subprocess\nsubprocess.run(['true'])", "subprocess.Popen"),
        ("import os\nos.system('true')", "os.system"),
        ("import os\nos.fork()", "os.fork"),
        ("import ctypes\nctypes.CDLL(None)", "ctypes.dlopen"),
        ("open('../was-here', 'w')", "may not write"),
        ("import os\nos.open('../was-here', os.O_CREAT)", "may not write"),
        ("import os\nos.mkdir('../was-here')", "may not change"),
        ("import os\nos.rename('p.py', '../was-here')", "may not change"),
        ("import os\nos.symlink('p.py', '../was-here')", "may not change"),
        ("import os\nos.remove('../kept')", "may not change"),
        ("import shutil\nshutil.rmtree('..')", "may not change"),
        ("import os\nos.kill(os.getppid(), 9)", "os.kill"),
        ("x = bytearray(8 << 30)", "MemoryError"),
    ],
)
def test_what_would_leave_the_folder_or_the_machine_is_refused(
    tmp_path: Path, code: str, error: str
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "kept").write_text("x")
    done = child(folder, code)
    assert done.returncode != 0
    assert error in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "own"]


def test_its_own_folder_is_its_own(tmp_path: Path) -> None:
    code = "import os\nopen('a', 'w').write('x')\nos.rename('a', 'b')\nos.remove('b')\nprint(1)"
    assert child(tmp_path, code).stdout == "1\n"


def test_a_flood_of_words_is_stopped(tmp_path: Path) -> None:
    done = child(tmp_path, "f = open('a', 'w')\nwhile True:\n    f.write('x' * 100_000)")
    assert done.returncode != 0
    assert (tmp_path / "a").stat().st_size <= card_child.OUTPUT


def test_every_port_of_this_machine_is_the_scripted_servers(tmp_path: Path) -> None:
    """Cards write http://localhost:8001/v1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "import socket\nfor name in ('localhost', '127.0.0.1'):\n"
            "    socket.create_connection((name, 8001))"
        )
        assert child(tmp_path, code, port).returncode == 0
        server.settimeout(10)
        for _ in range(2):
            server.accept()[0].close()


# -- reading how it ended -----------------------------------------------------------------------

TRACEBACK = """\
Traceback (most recent call last):
  File "<frozen runpy>", line 291, in run_path
  File "walkthrough.py", line 12, in <module>
    ask()
  File "walkthrough.py", line 7, in ask
    client.chat()
  File "/lib/openai/x.py", line 99, in chat
    raise error
openai.NotFoundError: Error code: 404 - words
that go on
"""


@pytest.mark.parametrize(
    ("said", "code", "error", "line"),
    [
        (TRACEBACK, 1, "openai.NotFoundError: Error code: 404 - words", 7),
        ("KeyError: 'x'\n", 1, "KeyError: 'x'", 0),
        ("", 3, "exit code 3", 0),
        ("", -9, "signal 9 (too much memory, time or output)", 0),
        ('  File "walkthrough.py", line 4\n    x =\nSyntaxError: invalid syntax', 1,
         "SyntaxError: invalid syntax", 4),
    ],
)  # fmt: skip
def test_the_last_line_of_the_card_in_a_traceback(
    said: str, code: int, error: str, line: int
) -> None:
    ran = card_code._error(said, code)
    assert (ran.error, ran.line) == (error, line)


def test_a_process_of_a_card_gets_none_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN", "HTTPS_PROXY", "PYTHONPATH", "FORMOSA_HOME"):
        monkeypatch.setenv(name, "secret")
    made = card_code._environment("http://127.0.0.1:1/v1", tmp_path)
    assert made["OPENAI_API_KEY"] == "none"
    assert "secret" not in made.values()
    assert made["HOME"] == str(tmp_path)


# -- blocks that are chosen ---------------------------------------------------------------------


def test_blocks_that_load_a_model_themselves_are_left_out(tmp_path: Path) -> None:
    heavy = "```python\nimport torch\nfrom transformers import pipeline\npipeline('x')\n```\n\n"
    text = changed("## Use", f"## Local\n\n{heavy}## Use")
    assert "pipeline" not in made(tmp_path, text).program


def test_blocks_that_do_not_parse_are_left_out(tmp_path: Path) -> None:
    text = changed("## Use", "## Use\n\n```python\nx = (\n```\n")
    program = made(tmp_path, text).program
    assert "x = (" not in program
    assert "while True:" in program


def test_calls_that_are_no_json_are_left_out(tmp_path: Path) -> None:
    text = changed('"arguments": {"location": "Taipei"}', '"arguments": {location: Taipei}')
    assert [call.name for call in made(tmp_path, text).calls] == ["search"]


def test_what_a_block_prints_is_no_part_of_the_program(tmp_path: Path) -> None:
    value = made(tmp_path)
    assert '"arguments"' not in value.program
    assert value.first == line_of("import json")
    assert value.last == line_of("print(message.content)")
