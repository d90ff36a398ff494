"""What the parity check must find, and say, before anybody ships the file. Real llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from formosa.chat.message import Message, Tool
from formosa.engines.llama import LlamaEngine
from formosa.errors import ParityError
from formosa.export import gguf, parity
from formosa.export.gguf import write_gguf
from formosa.export.greedy import Reply
from formosa.export.parity import check_parity_now, conversations
from formosa.export.reference import Reference
from formosa.files import read_json

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def written(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(
        tiny_checkpoint, tmp_path_factory.mktemp("parity") / "m.gguf", "F32", name="tiny"
    )


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LlamaEngine]]:
    """The engines that were closed."""
    made: list[LlamaEngine] = []
    close = LlamaEngine.aclose

    async def aclose(self: LlamaEngine) -> None:
        made.append(self)
        await close(self)

    monkeypatch.setattr(LlamaEngine, "aclose", aclose)
    yield made


def test_a_file_that_is_wrong_everywhere_is_not_excused_as_near_ties(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far apart two words may be and still count as a tie: at most one token in twenty."""

    def upside_down(values: Any, name: str, config: dict[str, Any]) -> Any:
        return -values if name == "output_norm.weight" else values

    monkeypatch.setattr(gguf, "as_stored", upside_down)
    monkeypatch.setitem(parity.TIE, "F32", 1e9)
    path = write_gguf(tiny_checkpoint, tmp_path / "m.gguf", "F32", name="x")
    with pytest.raises(ParityError, match=r"greedy: 0 of 6 replies .* are near ties"):
        check_parity_now(tiny_checkpoint, path, greedy_tokens=4)


def test_another_rendering_is_shown_from_where_it_differs(
    tiny_checkpoint: Path,
    written: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: list[LlamaEngine],
) -> None:
    render = LlamaEngine.render

    async def simplified(
        self: LlamaEngine, messages: Sequence[Message], tools: Sequence[Tool] = ()
    ) -> str:
        return (await render(self, messages, tools)).replace("介紹台灣", "介紹台湾")

    monkeypatch.setattr(LlamaEngine, "render", simplified)
    report = tmp_path / "parity.json"
    with pytest.raises(ParityError, match=r"template: llama.cpp writes '湾。.* for '灣。") as error:
        check_parity_now(tiny_checkpoint, written, greedy_tokens=1, report=report)
    assert str(report) in error.value.hint
    checks = read_json(report)["checks"]
    assert [(check["name"], check["passed"]) for check in checks] == [
        ("template", False), ("tokens", True), ("greedy", True), ("divergence", True),
    ]  # fmt: skip
    assert closed


def test_a_token_too_many_at_the_end_is_found(
    tiny_checkpoint: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two lists that agree as far as the shorter one goes are not equal."""
    tokenize = LlamaEngine.tokenize

    async def one_more(self: LlamaEngine, text: str) -> list[int]:
        return [*await tokenize(self, text), 1]

    monkeypatch.setattr(LlamaEngine, "tokenize", one_more)
    with pytest.raises(ParityError, match="tokens: other ids near") as error:
        check_parity_now(tiny_checkpoint, written, greedy_tokens=1)
    assert "formosa export check" in error.value.hint


def test_every_check_that_failed_is_named(
    tiny_checkpoint: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(self: LlamaEngine, *_: object) -> str:
        return ""

    async def no_tokens(self: LlamaEngine, text: str) -> list[int]:
        return []

    async def no_replies(*_: object) -> list[Reply]:
        return []

    def passed(*_: object) -> parity.Check:
        return parity.Check("greedy", True, 1, "")

    monkeypatch.setattr(LlamaEngine, "render", nothing)
    monkeypatch.setattr(LlamaEngine, "tokenize", no_tokens)
    monkeypatch.setattr(parity, "replies_of", no_replies)
    monkeypatch.setattr(parity, "check_greedy", passed)
    with pytest.raises(ParityError, match=r"template: .*; tokens: "):
        check_parity_now(tiny_checkpoint, written)


def test_the_file_is_let_go_before_the_checkpoint_is_read(
    tiny_checkpoint: Path,
    written: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: list[LlamaEngine],
) -> None:
    """Asked for: a model of 3 billion weights in 8 GB, its check included."""
    read = Reference.logits

    def logits(self: Reference, ids: Sequence[int], last: int | None = None) -> Any:
        assert len(closed) == 1
        return read(self, ids, last)

    monkeypatch.setattr(Reference, "logits", logits)
    checks = check_parity_now(tiny_checkpoint, written, greedy_tokens=2)
    assert [check.name for check in checks] == ["template", "tokens", "greedy", "divergence"]


def test_an_engine_that_breaks_is_closed(
    tiny_checkpoint: Path,
    written: Path,
    monkeypatch: pytest.MonkeyPatch,
    closed: list[LlamaEngine],
) -> None:
    async def broken(self: LlamaEngine, *_: object) -> str:
        raise RuntimeError("gone")

    monkeypatch.setattr(LlamaEngine, "render", broken)
    with pytest.raises(RuntimeError, match="gone"):
        check_parity_now(tiny_checkpoint, written)
    assert closed


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        ("abc", "abd", "x writes 'd' for 'c'"),
        ("abc", "abcd", "x writes 'd' for ''"),
        ("abc", "ab", "x writes '' for 'c'"),
    ],
)
def test_a_difference_is_shown_also_where_one_text_only_goes_on(
    ours: str, theirs: str, said: str
) -> None:
    assert parity.difference("x", ours, theirs) == said


def test_the_conversations_use_everything_the_format_has() -> None:
    """What is not among them is not proven: who changes them must not lose a case."""
    messages = [message for made, _ in conversations() for message in made]
    assert {message.role for message in messages} == {"system", "user", "assistant", "tool"}
    assert any(message.reasoning for message in messages)
    assert any(len(message.tool_calls) > 1 for message in messages)
    assert {len(tools) for _, tools in conversations()} >= {0, 1, 2}
    assert all(made[-1].role != "assistant" for made, _ in conversations())
