"""`formosa card show` and `formosa card diff` as people and scripts use them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from huggingface_hub import constants

from card_run import make_run
from formosa.card.sheet.units import size
from formosa.card.write import write_card
from formosa.cli.card_show import SHOWN, diff, show
from formosa.errors import CardError, FormosaError, ModelError, UserError
from model_hub import ModelHub, model_hub
from tiny_gguf import METADATA, TENSORS, write_gguf_file

REPO = "tester/Tiny"


def call(command: object, *args: object) -> Result:
    """Standard output and exit code; a sentence of ours is in `exception`."""
    assert command in (show, diff)
    return CliRunner().invoke(
        show if command is show else diff, [str(a) for a in args], env={"COLUMNS": "100"}
    )


def printed(*args: object) -> str:
    result = call(show, *args)
    assert result.exit_code == 0, result.exception
    return result.stdout


@pytest.fixture
def run(tmp_path: Path) -> Path:
    made = make_run(tmp_path)
    write_gguf_file(made / "gguf/model-Q8_0.gguf")
    write_card(made)
    return made


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    with model_hub(REPO, tmp_path, monkeypatch) as made:
        made.files = {"README.md": "---\nlicense: mit\n---\n小模型，台灣用語。\n".encode()}
        made.large = {"Tiny-Q4_K_M.gguf": (2_019_377_696, "ab" * 32)}
        made.answer |= {"downloads": 1234, "likes": 5, "lastModified": "2025-05-06T17:42:26.000Z"}
        yield made


# -- show -----------------------------------------------------------------------------------------


def test_a_run_at_a_glance(run: Path) -> None:
    text = printed(run)
    for words in (
        "licence       apache-2.0",
        "architecture  llama, 2.1 k parameters, Q8_0, context 4,096, 2 layers of 64, 4 heads (2",
        "template      system message; without tools, parallel calls",
        "traced: logs/trained-bfcl-simple.jsonl, sha256 ",
        "gguf/model-Q8_0.gguf",
        "with 4,096 tokens",
    ):
        assert words in text, text
    assert "claimed" not in text


def test_what_is_shown_is_in_the_json_and_more(run: Path) -> None:
    value = json.loads(printed(run, "--json"))
    assert value["schema"] == 1
    assert value["licence"]["id"] == "apache-2.0"
    assert {result["state"] for result in value["results"]} == {"traced"}
    assert len(value["files"]) >= 6
    assert value["normalized"]["card_data"]["license"] == "apache-2.0"


def test_sizes_have_one_kind_of_unit(run: Path) -> None:
    assert [size(n) for n in (None, 0, 999, 98_362_432, 2_019_377_696, 1_500)] == [
        "–", "0 B", "999 B", "98.4 MB", "2.02 GB", "1.5 kB",
    ]  # fmt: skip
    text = printed(run)
    assert not any(unit in text for unit in ("GiB", "MiB", "KiB"))


def test_a_model_of_the_hub_at_a_glance(hub: ModelHub) -> None:
    hub.children = [{"id": f"a/T{i}", "tags": [f"base_model:quantized:{REPO}"], "downloads": 1000}
                    for i in range(SHOWN + 1)]  # fmt: skip
    result = call(show, REPO)
    assert result.exit_code == 0
    assert "小模型，台灣用語。" in result.stdout
    assert "1,234 downloads, 5 likes, changed 2025-05-06" in result.stdout
    assert "Tiny-Q4_K_M.gguf 2.02 GB Q4_K_M by its name abababababababab" in " ".join(
        result.stdout.split()
    )
    assert f"Made from it ({SHOWN} of {SHOWN + 1}; all with --json)" in result.stdout
    said = [f"asking {hub.url} for {REPO}", "reading the headers of its GGUF files"]
    assert result.stderr.splitlines() == said


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("---\nmodel-index: [3]\n---\nWords.\n")
    text = printed(path)
    assert "none named" in text
    assert "Not known" in text


def test_an_estimate_is_called_one(hub: ModelHub) -> None:
    hub.large = {}
    hub.answer["gguf"] = {"total": 3_212_749_888}
    text = printed(REPO)
    assert "3.21 B parameters" in text
    assert "about 3.41 GB" in text


def test_a_stranger_s_words_can_not_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(
        '---\nlicense: "\\e[31mred\\ud800"\ntags: ["\\u202e", "[bold]x[/bold]", ":smile:"]\n---\n'
        "# \x1b]0;title\x07\n\x1b[2JWords\n\n| \x9b2J | s |\n|---|---|\n| a | 1 |\n"
    )
    gguf = write_gguf_file(
        tmp_path / "x.gguf", metadata={**METADATA, "general.name": "a\x1b[2J\x07b"}
    )
    for args in ([path], [path, "--json"], [gguf], [gguf, "--json"]):
        text = printed(*args)
        for bad in ("\x1b", "\x07", "\x9b", "\u202e", "\\u001b", "\ud800"):
            assert bad not in text
    assert "[bold]x[/bold], :smile:" in printed(path)


@pytest.mark.parametrize("args", [["missing.md"], ["no such model"], ["."]])
def test_what_is_nothing_is_a_sentence_with_a_hint(
    args: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    error = call(show, *args).exception
    assert isinstance(error, CardError | ModelError)
    assert error.hint


def test_without_a_network_a_hub_id_is_a_sentence(
    hub: ModelHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    error = call(show, REPO).exception
    assert isinstance(error, ModelError)
    assert "the hub can't be reached" in error.message


def test_a_damaged_file_is_a_sentence(tmp_path: Path) -> None:
    path = write_gguf_file(tmp_path / "x.gguf")
    path.write_bytes(path.read_bytes()[:-300])
    error = call(show, path).exception
    assert isinstance(error, ModelError)
    assert "damaged or cut off" in error.message
    folder = tmp_path / "run/gguf"
    folder.mkdir(parents=True)
    path.rename(folder / "x.gguf")
    assert isinstance(call(show, folder.parent).exception, ModelError)


# -- diff -----------------------------------------------------------------------------------------


def test_equal_files_exit_0(run: Path) -> None:
    result = call(diff, run, run / "README.md")
    assert (result.exit_code, result.stdout) == (0, "equal\n")
    value = json.loads(call(diff, run, run, "--json").stdout)
    assert (value["equal"], value["differences"], value["template"]) == (True, [], [])


def test_different_cards_exit_1_and_say_where(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text((run / "README.md").read_text().replace("| 75.0 [", "| 95.0 ["))
    result = call(diff, run, other)
    assert result.exit_code == 1
    assert "95.0 [" in result.stdout
    assert "differences" in result.stdout
    value = json.loads(call(diff, run, other, "--json").stdout)
    assert not value["equal"]
    assert {found["part"] for found in value["differences"]} == {"table"}


def test_different_gguf_files_show_their_templates(tmp_path: Path) -> None:
    a = write_gguf_file(tmp_path / "a.gguf")
    b = write_gguf_file(
        tmp_path / "b.gguf",
        metadata={**METADATA, "tokenizer.chat_template": "{{ messages[0].content }}\x1b[2J"},
        tensors=[TENSORS[1]] * 1 + [(f"t{i}", (1,), 0, bytes(4)) for i in range(SHOWN + 3)],
    )
    result = call(diff, a, b)
    assert result.exit_code == 1
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines.index("--- a.gguf") + 1 == lines.index("+++ b.gguf")
    assert "+{{ messages[0].content }}�[2J" in lines
    assert "\x1b" not in result.stdout
    assert "and 4 more; all with --json" in result.stdout
    value = json.loads(call(diff, a, b, "--json").stdout)
    assert sum(found["part"] == "tensor" for found in value["differences"]) == SHOWN + 4


def test_an_error_is_no_difference(run: Path, tmp_path: Path) -> None:
    """Both exit with 1; only a comparison writes to standard output."""
    for args in ([run, tmp_path / "none.md"], [run, run / "gguf/model-Q8_0.gguf"],
                 [tmp_path / "none.gguf", run / "gguf/model-Q8_0.gguf"]):  # fmt: skip
        result = call(diff, *args, "--json")
        assert isinstance(result.exception, FormosaError)
        assert result.stdout == ""
    error = call(diff, run, run / "gguf/model-Q8_0.gguf").exception
    assert isinstance(error, UserError)
    assert "can't be compared" in error.message


@pytest.mark.parametrize("command", [show, diff])
def test_help_begins_with_lines_to_paste(command: object) -> None:
    result = call(command, "--help")
    assert result.exit_code == 0
    assert "    formosa card " in result.output
