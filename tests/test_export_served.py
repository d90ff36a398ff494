"""The same replies in every engine: near ties are named, and anything else is an error.

vLLM itself is asked where `FORMOSA_VLLM_PYTHON` names an interpreter that has it: `make test-vllm`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_line import formosa
from fake_vllm import write_fake
from formosa.chat.message import Message, Tool
from formosa.chat.template import ChatTemplate
from formosa.data.rows import Row, write_rows
from formosa.engines.protocol import ModelInfo
from formosa.engines.vllm_command import PYTHON
from formosa.export.greedy import Departure, Replies, compare_replies, judged, replies_of
from formosa.export.reference import Reference
from formosa.export.served import TIES, check_served, dtype_of
from formosa.files import write_json

TEMPLATE = ChatTemplate.formosa("chatml")
HELLO = ([Message("user", "Hello!")], list[Tool]())
ANSWERED = ([Message("user", "Hello!"), Message("assistant", "Yes.")], list[Tool]())


# -- words against words, without a model ---------------------------------------------------------


class Scripted:
    """A checkpoint whose thoughts are given, and an engine whose words are: both in one."""

    info = ModelInfo("scripted")

    def __init__(self, words: str, thoughts: Sequence[dict[str, float]]) -> None:
        self.words = [ord(word) for word in words]
        self.thoughts = thoughts
        self.tokenizer = self

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))

    async def tokenize(self, text: str) -> list[int]:
        return [*text.encode()]

    async def greedy(self, ids: list[int], count: int) -> list[int]:
        return self.words[:count]

    def logits(self, ids: Sequence[int], last: int | None = None) -> Any:
        made = np.full((len(self.words) + 1, 128), -9.0)
        for row, thought in zip(made, self.thoughts, strict=False):
            for word, score in thought.items():
                row[ord(word)] = score
        return made[-(last or 0) :]


def replies(words: str, thoughts: Sequence[dict[str, float]], *asked: Any) -> Replies:
    both: Any = Scripted(words, thoughts)
    said = asyncio.run(replies_of(both, TEMPLATE, asked or [HELLO], len(words)))
    return compare_replies(both, said)


def test_the_checkpoint_s_own_words_are_the_same_reply() -> None:
    found = replies("ab", [{"a": 1, "b": 0}, {"b": 1}], HELLO, ANSWERED, HELLO)
    assert found == Replies(2, 4, ())  # what ends with a reply asks for none
    assert judged(found, 0.1) == (True, "2 replies the same, 4 tokens")


def test_a_near_tie_is_named_and_the_rest_of_its_reply_is_read_on() -> None:
    """The reply that the issue's eleven of twelve lacked: where, which words, how far apart."""
    thoughts = [{"a": 1.0, "x": 1.25}, {"b": 1.0}, *({"c": 1.0} for _ in range(30))]
    found = replies("ab" + "c" * 30, thoughts)
    assert found.departures == (Departure(1, 1, "'a'", "'x'", 0.25, 0),)
    assert found.same == 0
    assert judged(found, 0.5) == (
        True,
        "0 of 1 replies the same; 1 of 32 tokens are near ties (reply 1: 'a' for 'x', 0.25 nats)",
    )


def test_a_wide_gap_fails_and_says_what_was_meant() -> None:
    thoughts = [{"a": 1.0}, {"b": 1.0, "x": 3.0}]
    passed, detail = judged(replies("ab", thoughts), 0.5)
    assert (passed, detail) == (False, "after 1 tokens it says 'b', not 'x': 2.00")


def test_many_near_ties_are_no_accident() -> None:
    """At most one token in twenty; the three widest are spelled out."""
    places = tuple(Departure(n, 1, "'a'", "'b'", n / 100, n) for n in range(1, 6))
    passed, detail = judged(Replies(5, 100, places), 0.5)
    assert passed
    assert "near ties (reply 5: 'a' for 'b', 0.05 nats; reply 4: " in detail
    assert detail.endswith("reply 3: 'a' for 'b', 0.03 nats; 2 more)")
    assert not judged(Replies(5, 99, places), 0.5)[0]


@pytest.mark.parametrize("tie", [0.1, 0.5, 1.5])
def test_a_reply_is_the_same_or_has_a_place(tie: float) -> None:
    """A gap as wide as the limit is none."""
    for gaps in itertools.product((0.0, 0.1, 0.49, 0.5, 2.0), repeat=3):
        made = tuple(
            Departure(n, 1, "a", "b", gap, 0) for n, gap in zip((1, 1, 4), gaps, strict=True)
        )
        found = Replies(9, 900, made)
        assert found.same == 7
        assert judged(found, tie)[0] is all(gap < tie for gap in gaps)


@pytest.mark.parametrize(
    ("config", "asked", "quantization", "dtype"),
    [
        ({"dtype": "bfloat16"}, None, None, "bfloat16"),
        ({"torch_dtype": "float16"}, None, None, "float16"),
        ({"dtype": "float32"}, None, None, "bfloat16"),  # vLLM makes it so
        ({"dtype": "float32"}, "float32", None, "float32"),
        ({"dtype": "bfloat16"}, "float", None, "float32"),
        ({"dtype": "bfloat16"}, "auto", None, "bfloat16"),
        ({"dtype": "bfloat16"}, None, "fp8", "fp8"),
        ({"quantization_config": {"bits": 4}}, None, None, "quantised"),
        ({}, None, None, "bfloat16"),
    ],
)
def test_what_vllm_computes_in(
    tmp_path: Path, config: Any, asked: str | None, quantization: str | None, dtype: str
) -> None:
    write_json(tmp_path / "config.json", config)
    assert dtype_of(tmp_path, asked, quantization) == dtype


# -- a checkpoint that answers for itself ---------------------------------------------------------


class Itself:
    """An engine that has the checkpoint's own words; `spoils` what it is told to."""

    def __init__(self, reference: Reference, template: ChatTemplate, spoils: str = "") -> None:
        self.reference, self.template, self.spoils = reference, template, spoils
        self.info = ModelInfo("itself", template=template)

    async def tokenize(self, text: str) -> list[int]:
        text = text.replace("台北", "台 北") if self.spoils == "tokens" else text
        ids: list[int] = self.reference.tokenizer.encode(text, add_special_tokens=False)
        return ids

    async def greedy(self, ids: list[int], count: int) -> list[int]:
        words: list[int] = []
        for _ in range(count):
            scores = self.reference.logits([*ids, *words], last=1)[-1]
            words.append(int(scores.argmin() if self.spoils == "words" else scores.argmax()))
        return words

    async def render_ids(
        self, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> list[int]:
        text = self.template.prompt(messages, [] if self.spoils == "tools" else tools)
        return await Itself(self.reference, self.template).tokenize(text)


def served(checkpoint: Path, spoils: str = "") -> dict[str, tuple[bool, str]]:
    reference = Reference(checkpoint)
    template = ChatTemplate.from_source((checkpoint / "chat_template.jinja").read_text("utf-8"))
    engine = Itself(reference, template, spoils)
    made = check_served(
        checkpoint, engine, dtype="float32", greedy_tokens=2, more=[HELLO], reference=reference
    )
    return {check.name: (check.passed, check.detail) for check in asyncio.run(made)}


@pytest.mark.train
def test_who_says_what_the_checkpoint_says_passes(tiny_checkpoint: Path) -> None:
    found = served(tiny_checkpoint)
    assert [passed for passed, _ in found.values()] == [True, True, True]
    assert found["greedy"][1].startswith("7 replies the same, ")


@pytest.mark.train
@pytest.mark.parametrize(
    ("spoils", "check", "said"),
    [
        ("tools", "template", "conversation 3: vLLM reads "),
        ("tokens", "tokens", "other ids near "),
        ("words", "greedy", "after 0 tokens it says "),
    ],
)
def test_what_differs_is_said(tiny_checkpoint: Path, spoils: str, check: str, said: str) -> None:
    passed, detail = served(tiny_checkpoint, spoils)[check]
    assert not passed
    assert detail.startswith(said)


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def run(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A run's folder, as far as a check looks at it."""
    folder = tmp_path / "run"
    shutil.copytree(tiny_checkpoint, folder / "checkpoint")
    (folder / "recipe.yaml").write_text(
        f"name: tiny\nbase: {tiny_checkpoint}\ndata: {{synth: {{rows: 8}}}}\n", encoding="utf-8"
    )
    said = [Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "And?")]
    rows = [Row.of(said, id=str(n)) for n in range(3)]
    (folder / "data").mkdir()
    write_rows(folder / "data" / "heldout.jsonl", [*rows, Row.of(text="A document.")])
    return folder


@pytest.mark.train
def test_a_run_s_own_file_is_checked_and_its_held_out_rows_are_asked(run: Path) -> None:
    assert (
        formosa("export", "gguf", run, run / "gguf" / "model-F16.gguf", "--level", "F16").code == 0
    )
    done = formosa("export", "check", run, "--tokens", 2, "--rows", 2, "--json")
    assert done.code == 0
    greedy = next(check for check in done.json if check["name"] == "greedy")
    assert greedy["detail"].startswith("8 replies the same")  # six fixed ones
    every = formosa("export", "check", run, "--tokens", 1, "--rows", 99, "--json")
    greedy = next(check for check in every.json if check["name"] == "greedy")
    assert greedy["detail"].startswith("9 replies")  # a document asks nothing


@pytest.mark.train
def test_what_can_t_be_checked_says_what_to_name(tiny_checkpoint: Path, run: Path) -> None:
    for words, code, said in (
        ([tiny_checkpoint], 2, "Name the GGUF file, or say --engine vllm."),
        ([tiny_checkpoint, "--rows", 2], 1, "--rows asks held-out rows, and there is no run"),
        ([run, "--dtype", "float32"], 2, "These options are vLLM's: add --engine vllm."),
        ([run, run / "recipe.yaml", "--engine", "vllm"], 2, "leave FILE out"),
    ):
        done = formosa("export", "check", *words)
        assert (done.code, done.out) == (code, "")
        assert said in done.err


@pytest.mark.train
def test_a_vllm_that_says_something_else_fails_with_the_whole_table(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here one whose tokens are bytes, and whose every word is the letter A."""
    monkeypatch.setenv("FAKE_VLLM_FOLDER", str(tmp_path))
    python = write_fake(tmp_path)
    words = ["--engine", "vllm", "--tokens", 2, "--vllm-python", python, "--json"]
    done = formosa("export", "check", run, *words)
    assert done.code == 1
    assert [(check["name"], check["passed"]) for check in done.json] == [
        ("template", False), ("tokens", False), ("greedy", False),
    ]  # fmt: skip
    assert "error: vllm 0.32.0, float32" not in done.err
    assert "differs from the checkpoint: template: conversation 1: vLLM reads" in done.err


@pytest.mark.model
@pytest.mark.train
@pytest.mark.skipif(PYTHON not in os.environ, reason=f"{PYTHON} names no vLLM")
@pytest.mark.timeout(900)
def test_vllm_says_what_the_checkpoint_says() -> None:
    """The real one, in the checkpoint's own precision and in float32."""
    from formosa.checkpoints import checkpoint_folder
    from formosa.models import resolve

    folder = checkpoint_folder(resolve("smollm2-135m"))
    for dtype in TIES:
        if dtype == "float16":  # no machine without a GPU has it
            continue
        words = ["--engine", "vllm", "--tokens", 16, "--dtype", dtype, "--json"]
        done = formosa("export", "check", folder, *words)
        assert done.code == 0, done.err
        assert all(check["passed"] for check in done.json)
