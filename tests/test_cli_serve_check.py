"""`formosa serve check` and `formosa serve parrot`, against a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from formosa.chat.reply import Delta
from formosa.cli.serve_check import check, parrot
from formosa.engines.gguf import read_metadata
from formosa.engines.protocol import ChatEvent, ChatRequest
from formosa.errors import EngineError, UserError
from formosa.serve.run import serving
from perfect_server import Perfect


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"perfect": Perfect()}, api_key="k") as address:
        yield address


def run(*arguments: str) -> Result:
    return CliRunner().invoke(check, arguments, standalone_mode=False)


def test_it_prints_what_breaks_and_says_so_with_its_exit_code(url: str) -> None:
    """The obedient model can't be made to say given words, and counts one token for each word."""
    result = run(url, "--api-key", "k", "--only", "models", "--only", "stream", "--all")
    assert result.return_value == 0, result.output
    assert "stream.usage" in result.output
    assert "everything that must hold holds" in result.output


def test_json_is_the_whole_report(url: str) -> None:
    result = run(url, "--api-key", "k", "--only", "stream.same", "--json")
    value = json.loads(result.stdout)
    assert value["conforms"] is True
    assert value["model"] == "perfect"
    assert [(one["id"], one["verdict"]) for one in value["results"]] == [("stream.same", "pass")]


def test_the_key_is_not_in_the_report(url: str) -> None:
    result = run(url, "--api-key", "k", "--only", "models", "--json")
    assert "Bearer" not in result.output
    assert '"k"' not in result.output


def test_a_must_that_fails_is_exit_code_1() -> None:
    class Forgetful(Perfect):
        """What it streams is not what it says."""

        async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
            async for event in super().stream(request):
                yield event._replace(text="?") if isinstance(event, Delta) else event

    with serving({"forgetful": Forgetful()}) as address:
        result = run(address, "--only", "stream.same")
    assert result.return_value == 1
    assert "stream.same" in result.output
    assert "1 of what must hold failed" in result.output


def test_scripted_replies_that_can_t_be_said_are_skipped_with_a_hint(url: str) -> None:
    result = run(url, "--api-key", "k", "--only", "vectors")
    assert result.return_value == 0
    assert "formosa serve parrot" in result.output


def test_a_wrong_word_is_a_sentence(url: str) -> None:
    result = run(url, "--api-key", "k", "--only", "tolls")
    assert isinstance(result.exception, UserError)
    assert "tolls" in str(result.exception)


def test_a_missing_key_is_a_sentence(url: str) -> None:
    result = run(url)
    assert isinstance(result.exception, UserError)
    assert "--api-key" in result.exception.hint


def test_nobody_there_is_a_sentence() -> None:
    result = run("http://127.0.0.1:9", "--timeout", "2")
    assert isinstance(result.exception, EngineError)
    assert isinstance(run("localhost:8000").exception, UserError)


@pytest.mark.train
def test_the_parrot_is_written_in_both_forms(tmp_path: Path) -> None:
    for name in ("parrot.gguf", "parrot"):
        arguments = [str(tmp_path / name), "--json"]
        result = CliRunner().invoke(parrot, arguments, standalone_mode=False)
        assert json.loads(result.stdout)["texts"] > 100
    assert read_metadata(tmp_path / "parrot.gguf")["general.name"] == "parrot"
    assert (tmp_path / "parrot" / "model.safetensors").exists()
