"""A run whose adapter is what is published: it is written alone, and it is what answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from command_line import Done, formosa
from formosa.engines.gguf import read_metadata
from formosa.engines.templated import HELD
from formosa.export.gguf import write_gguf
from formosa.files import read_json, sha256_file
from formosa.results.log import EvalLog, read_log
from tiny import write_tiny_checkpoint

pytestmark = [pytest.mark.train, pytest.mark.model]

RECIPE = """\
name: pair
base: {base}
data:
  heldout: 2
  synth: {{rows: 16}}
train:
  method: lora
  lora: {{rank: 4, alpha: 8}}
  max_steps: 2
  warmup_steps: 0
  max_tokens: 8192
  measure_rows: 0
export:
  adapter: F16
  parity_tokens: 4
serve:
  context: 8192
  hold_calls: true
eval:
  tasks:
    - {{name: mini-zh-tw, base_limit: 3}}
  max_tokens: 12
  hold_calls: true
  concurrency: 2
  context: 8192
"""


class Pair:
    """The run of RECIPE, on a base that is one GGUF file."""

    def __init__(self, here: Path) -> None:
        checkpoint = write_tiny_checkpoint(here / "tiny", max_position_embeddings=8192)
        self.base = here / "tiny.gguf"
        write_gguf(checkpoint, self.base, "F32", name="tiny")
        self.done = run(here, RECIPE.format(base=self.base))
        self.folder = here / "runs" / "pair"
        self.adapter = self.folder / "adapter" / "pair.gguf"

    def log(self, who: str) -> EvalLog:
        return read_log(self.folder / "logs" / f"{who}-mini-zh-tw.jsonl")

    def model(self, who: str) -> dict[str, Any]:
        found: dict[str, Any] = self.log(who).start["model"]
        return found


def run(here: Path, recipe: str, *options: str) -> Done:
    path = here / "pair.yaml"
    path.write_text(recipe, encoding="utf-8")
    return formosa("run", path, "--runs", here / "runs", *options)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    made = Pair(tmp_path_factory.mktemp("pair"))
    assert made.done.code == 0, made.done.err
    return made


def test_the_adapter_stands_alone_with_the_template_it_was_trained_with(pair: Pair) -> None:
    header = read_metadata(pair.adapter)
    assert header["general.type"] == "adapter"
    template = (pair.folder / "checkpoint" / "chat_template.jinja").read_text(encoding="utf-8")
    assert header["tokenizer.chat_template"] == template
    assert (
        "adapter/pair.gguf" in read_json(pair.folder / "state.json")["stages"]["export"]["outputs"]
    )


def test_it_answers_on_its_base_and_the_base_answers_without_it(pair: Pair) -> None:
    trained, base = pair.model("trained"), pair.model("base")
    assert trained["name"] == "pair (trained)"
    assert trained["sha256"] == sha256_file(pair.adapter)
    assert trained["details"]["base_sha256"] == base["sha256"] == sha256_file(pair.base)
    assert trained["template_sha256"] == base["template_sha256"]
    assert {who["details"]["calls"] for who in (trained, base)} == {HELD}


def test_the_base_may_be_asked_fewer_questions(pair: Pair) -> None:
    base, trained = ({short.id for short in pair.log(who).briefs} for who in ("base", "trained"))
    assert len(base) == 3
    assert base < trained


def test_the_flow_was_served_with_it(pair: Pair) -> None:
    assert read_json(pair.folder / "serve" / "tool-flow.json")["served"] == "pair.gguf"


def test_the_card_names_the_adapter_and_verifies(pair: Pair) -> None:
    assert read_json(pair.folder / "adapter" / "adapter.json") == {
        "schema": 1,
        "file": "pair.gguf",
        "sha256": sha256_file(pair.adapter),
        "bytes": pair.adapter.stat().st_size,
        "level": "F16",
        "base": "tiny",
        "base_sha256": sha256_file(pair.base),
    }
    card = (pair.folder / "README.md").read_text(encoding="utf-8")
    assert "base_model_relation: adapter" in card or "base_model:" not in card
    assert sha256_file(pair.adapter) in card and "tiny+adapter/pair.gguf" in card
    done = formosa("card", "verify", pair.folder / "README.md")
    assert done.code == 0, done.out


def test_an_adapter_needs_a_training_that_makes_one(tmp_path: Path) -> None:
    done = run(tmp_path, RECIPE.format(base="smollm2-135m").replace("method: lora", "method: full"))
    assert done.code == 1
    assert "nothing is trained as an adapter with train.method: full" in done.err


def test_an_adapter_of_a_checkpoint_folder_is_refused(tmp_path: Path) -> None:
    base = write_tiny_checkpoint(tmp_path / "tiny", max_position_embeddings=8192)
    done = run(tmp_path, RECIPE.format(base=base))
    assert done.code == 1
    assert "an adapter is added to a GGUF file" in done.err


def test_two_limits_would_share_no_question(tmp_path: Path) -> None:
    done = run(
        tmp_path, RECIPE.format(base="x").replace("base_limit: 3", "limit: 4, base_limit: 3")
    )
    assert done.code == 1
    assert "base_limit goes with all samples" in done.err
