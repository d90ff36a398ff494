"""`formosa export`: write, then prove; what fails is shown before the sentence that says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from command_line import formosa
from formosa.engines.gguf import read_metadata
from formosa.files import write_json
from tiny_adapter import write_tiny_adapter

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def file(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "deep" / "tiny.gguf"
    done = formosa("export", "gguf", tiny_checkpoint, path, "--quantisation", "F16", "--json")
    assert (done.code, done.err) == (0, "")
    assert [check["name"] for check in done.json] == ["template", "tokens", "greedy", "divergence"]
    assert all(check["passed"] for check in done.json)
    return path


def test_a_written_file_is_checked_at_once(file: Path) -> None:
    assert file.read_bytes()[:4] == b"GGUF"
    assert [path.name for path in file.parent.iterdir()] == ["tiny.gguf"]


def test_check_prints_a_row_for_each_check(tiny_checkpoint: Path, file: Path) -> None:
    done = formosa("export", "check", tiny_checkpoint, file, "--tokens", 2)
    assert (done.code, done.err) == (0, "")
    assert [line.split()[0] for line in done.out.splitlines()] == [
        "name",
        "template",
        "tokens",
        "greedy",
        "divergence",
    ]


def test_a_file_of_another_checkpoint_fails_with_the_whole_report(
    tiny_checkpoint: Path, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_checkpoint, other)
    template = other / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8") + " ", encoding="utf-8")
    done = formosa("export", "check", other, file, "--tokens", 2, "--json")
    assert done.code == 1
    assert {check["name"]: check["passed"] for check in done.json} == {
        "template": False,
        "tokens": True,
        "greedy": True,
        "divergence": True,
    }
    assert done.err == (
        "error: tiny.gguf differs from its checkpoint: template: the file carries another "
        "template\n"
    )


@pytest.mark.parametrize("lacks", ["config.json", "tokenizer.json", "chat_template.jinja"])
@pytest.mark.parametrize("command", ["gguf", "check"])
def test_a_folder_that_is_no_checkpoint_says_what_it_lacks(
    tiny_checkpoint: Path, file: Path, tmp_path: Path, lacks: str, command: str
) -> None:
    folder = tmp_path / "c"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / lacks).unlink()
    target = tmp_path / "new.gguf" if command == "gguf" else file
    done = formosa("export", command, folder, target)
    assert (done.code, done.out) == (1, "")
    assert f"error: {folder} is no whole checkpoint: it holds no {lacks}." in done.err
    assert "hint: name a run, or the folder `checkpoint` of one" in done.err
    assert not (tmp_path / "new.gguf").exists()


def test_what_is_no_gguf_file_is_a_sentence(tiny_checkpoint: Path, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"not a model")
    done = formosa("export", "check", tiny_checkpoint, path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "bad.gguf" in done.err


def test_wrong_arguments_are_a_usage_error(tiny_checkpoint: Path, tmp_path: Path) -> None:
    done = formosa("export", "gguf", tmp_path / "nowhere", tmp_path / "x.gguf")
    assert (done.code, "does not exist" in done.err) == (2, True)
    done = formosa("export", "gguf", tiny_checkpoint, tmp_path / "x.gguf", "--quantisation", "Q2")
    assert (done.code, "'Q8_0'" in done.err) == (2, True)


def test_a_check_of_no_words_is_no_check(tiny_checkpoint: Path, file: Path) -> None:
    done = formosa("export", "check", tiny_checkpoint, file, "--tokens", 0)
    assert (done.code, "--tokens" in done.err) == (2, True)


# -- the other commands --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lora(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_adapter(tiny_checkpoint, tmp_path_factory.mktemp("lora") / "adapter")


def test_quantize_writes_a_smaller_file_and_says_how_much(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.gguf"
    done = formosa("export", "quantize", file, target, "--level", "Q4_0", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["bytes"] == target.stat().st_size < done.json["before"]
    again = formosa("export", "quantize", target, tmp_path / "x.gguf", "--level", "Q4_0")
    assert (again.code, again.out) == (1, "")
    assert "small.gguf is Q4_0 already" in again.err
    assert "hint: start from the F16 file or from the checkpoint, or say --twice" in again.err


def test_merge_and_adapter_take_a_base_and_an_adapter(
    tiny_checkpoint: Path, lora: Path, tmp_path: Path
) -> None:
    merged = formosa("export", "merge", tiny_checkpoint, lora, tmp_path / "merged")
    assert merged.code == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()
    assert "formosa export gguf" in merged.err
    thin = formosa("export", "adapter", tiny_checkpoint, lora, tmp_path / "a.gguf", "--json")
    assert thin.json["bytes"] == (tmp_path / "a.gguf").stat().st_size
    other = formosa("export", "merge", tmp_path, tmp_path / "new")
    assert (other.code, "is no run" in other.err) == (1, True)
    many = formosa("export", "merge", "a", "b", "c", tmp_path / "new")
    assert (many.code, "Name a run, or a base and an adapter" in many.err) == (2, True)


def test_a_run_knows_its_base_its_adapter_and_its_hashes(
    tiny_checkpoint: Path, lora: Path, tmp_path: Path
) -> None:
    from gguf import GGUFReader

    run = tmp_path / "run"
    shutil.copytree(tiny_checkpoint, run / "checkpoint")
    shutil.copytree(lora, run / "checkpoint" / "adapter")
    (run / "recipe.yaml").write_text(
        f"name: tiny\nbase: {tiny_checkpoint}\n"
        "data: {synth: {rows: 8}}\neval: {tasks: [{name: mini-zh-tw}]}\n",
        encoding="utf-8",
    )
    write_json(run / "model.json", {"name": "tiny-base", "licence": "mit", "hub_id": "org/tiny"})
    done = formosa("export", "gguf", run, tmp_path / "m.gguf", "--level", "F16", "--json")
    assert (done.code, done.err) == (0, "")
    fields = {k: f.contents() for k, f in GGUFReader(tmp_path / "m.gguf").fields.items()}
    assert fields["general.license"] == "mit"
    assert fields["general.base_model.0.repo_url"] == "https://huggingface.co/org/tiny"
    assert len(fields["formosa.recipe.sha256"]) == 64
    assert formosa("export", "merge", run, tmp_path / "merged").code == 0
    assert formosa("export", "adapter", run, tmp_path / "a.gguf", "--level", "F16").code == 0
    own = read_metadata(tmp_path / "a.gguf")["tokenizer.chat_template"]
    assert own == (run / "checkpoint" / "chat_template.jinja").read_text(encoding="utf-8")


def test_levels_are_compared_in_a_table_and_a_plot(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "gguf"
    words = ["export", "levels", tiny_checkpoint, "--out", out, "--tokens", 2, "--name", "tiny"]
    done = formosa(*words, "--level", "Q8_0", "--level", "Q4_0", "--level", "F16")
    assert done.code == 0
    heads, *rows = done.out.splitlines()
    assert heads.split()[:4] == ["level", "MB", "size", "tok/s"]
    assert [row.split()[0] for row in rows] == ["Q8_0", "Q4_0", "F16"]
    assert "parity of divergence at Q4_0" in done.err
    assert {path.name for path in out.iterdir()} == {
        *(f"model-{level}.gguf" for level in ("Q8_0", "Q4_0", "F16")),
        *(f"parity-{level}.json" for level in ("Q8_0", "Q4_0", "F16")),
        "levels.json",
        "levels.svg",
    }
    from formosa.models import resolve

    assert resolve(str(tmp_path)).path == out / "model-Q8_0.gguf"  # the first one is served


def test_levels_can_be_asked_benchmarks(tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "gguf"
    words = ["export", "levels", tiny_checkpoint, "--out", out, "--tokens", 1, "--level", "Q8_0"]
    done = formosa(
        *words,
        "--level",
        "Q4_0",
        "--evaluate",
        "mini-zh-tw",
        "--limit",
        2,
        "--max-tokens",
        12,
        "--json",
    )
    assert done.code == 0
    for row in done.json:
        score = row["scores"]["mini-zh-tw"]
        assert score["samples"] == 2
        assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1
        assert (out / score["log"]).exists()
    assert "mini-zh-tw, %" in (out / "levels.svg").read_text(encoding="utf-8")
