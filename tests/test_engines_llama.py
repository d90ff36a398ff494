"""llama.cpp with real weights: what it is told, what it says, how it stops."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from formosa.chat.message import Message
from formosa.engines.dialect import PROBE, PROBE_TOKENS
from formosa.engines.llama import LlamaEngine, _sampling
from formosa.engines.open import open_chat
from formosa.engines.protocol import ChatRequest, Piece, Prompt, Sampling, TextEngine
from formosa.errors import ContextError, EngineError, ModelError, UnsupportedError, UserError
from formosa.files import sha256_file
from formosa.models import resolve
from formosa.processor import usable_cores
from formosa.serve.conformance.parrot import Parrot
from lora import write_lora
from test_engines_gguf import gguf_header

CONTEXT = 120
PROMPT = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def path() -> Path:
    return resolve("smollm2-135m").path


@pytest.fixture(scope="module")
def engine(path: Path) -> Iterator[LlamaEngine]:
    made = LlamaEngine(path, context=CONTEXT, slots=2)
    yield made
    asyncio.run(made.aclose())


def generate(engine: LlamaEngine, prompt: Prompt = PROMPT, **sampling: Any) -> list[Piece]:
    async def collect() -> list[Piece]:
        return [piece async for piece in engine.generate(prompt, Sampling(**sampling))]

    return asyncio.run(collect())


def text_of(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


@pytest.mark.model
def test_info_says_what_a_log_needs(engine: LlamaEngine, path: Path) -> None:
    info = engine.info
    assert (info.name, info.context, info.path) == ("smollm2-135m", CONTEXT, str(path))
    assert info.details["engine"] == "llama.cpp"
    assert info.details["quantisation"] == "Q4_1"
    assert info.details["threads"] == usable_cores()
    assert info.details["version"].startswith("xllamacpp 20")


@pytest.mark.model
def test_the_template_of_the_file_is_the_template(engine: LlamaEngine) -> None:
    template = engine.info.template
    assert template is not None
    assert template.stop == "<|im_end|>"
    assert not template.native
    assert template.prompt([Message("user", "Say hi.")]).endswith(PROMPT)


@pytest.mark.model
def test_control_tokens_in_a_prompt_are_single_tokens(engine: LlamaEngine) -> None:
    assert asyncio.run(engine.tokenize("<|im_start|><|im_end|>")) == [1, 2]
    assert engine.family == "chatml"


@pytest.mark.model
def test_the_reply_ends_before_the_stop_token_and_does_not_show_it(engine: LlamaEngine) -> None:
    pieces = generate(engine)
    assert pieces[-1].finish == "stop"
    assert "<|im_end|>" not in text_of(pieces)


@pytest.mark.model
def test_the_context_is_used_up_to_the_last_token(engine: LlamaEngine) -> None:
    ids = asyncio.run(engine.tokenize("Once upon a time"))
    last = generate(engine, "Once upon a time")[-1]
    assert last.finish == "length"
    assert last.usage is not None
    assert last.usage.completion == CONTEXT - len(ids)
    with pytest.raises(ContextError) as caught:
        generate(engine, "Once upon a time", max_tokens=CONTEXT - len(ids) + 1)
    assert str(CONTEXT) in str(caught.value)


@pytest.mark.model
def test_a_seed_repeats_a_sampled_reply_and_another_changes_it(engine: LlamaEngine) -> None:
    same = {text_of(generate(engine, temperature=1.5, seed=7, max_tokens=12)) for _ in range(2)}
    other = text_of(generate(engine, temperature=1.5, seed=8, max_tokens=12))
    assert len(same) == 1
    assert other not in same


@pytest.mark.model
def test_cutting_to_one_candidate_is_greedy_whichever_way_it_is_said(engine: LlamaEngine) -> None:
    """Shows that each cut reaches llama.cpp, and that none is there unasked: at temperature 3
    its own defaults would already hide the difference."""
    greedy = text_of(generate(engine, max_tokens=10))
    for cut in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}):
        assert text_of(generate(engine, max_tokens=10, temperature=3.0, seed=1, **cut)) == greedy
    free = text_of(generate(engine, max_tokens=10, temperature=3.0, seed=1))
    assert free != greedy


@pytest.mark.model
def test_nothing_is_sampled_where_the_likeliest_token_is_wanted(engine: LlamaEngine) -> None:
    """llama.cpp would compute the probability of every token for it, whatever the cuts are."""
    greedy = text_of(generate(engine, max_tokens=10))
    for more in ({"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.2}, {"seed": 3}):
        assert text_of(generate(engine, max_tokens=10, **more)) == greedy
        asked = _sampling(Sampling(**more), CONTEXT)
        assert (asked["top_k"], asked["temperature"]) == (1, 0.0)
        assert asked["samplers"] == ["penalties", "top_k"]


@pytest.mark.model
def test_penalties_change_what_is_said_and_cost_no_time(engine: LlamaEngine) -> None:
    """A window larger than the context made llama.cpp set aside gigabytes for it."""
    prompt = "The list: one, two, one, two,"
    plain = text_of(generate(engine, prompt, max_tokens=30))
    for penalty in ({"presence_penalty": 2.0}, {"frequency_penalty": 2.0}):
        assert text_of(generate(engine, prompt, max_tokens=30, **penalty)) != plain


@pytest.mark.model
def test_a_repeated_prompt_comes_from_the_cache(engine: LlamaEngine) -> None:
    prompt = PROMPT.replace("hi", "something that was never said before")
    first, second = (generate(engine, prompt, max_tokens=2)[-1].usage for _ in range(2))
    assert first is not None
    assert second is not None
    assert second.cached > first.cached


@pytest.mark.model
def test_the_port_is_guarded_by_a_key(engine: LlamaEngine) -> None:
    with httpx2.Client() as http:
        answer = http.post(f"{engine.base_url}/completion", json={"prompt": "a", "n_predict": 1})
    assert answer.status_code == 401


@pytest.mark.model
def test_leaving_early_frees_the_slot_for_the_next_one(path: Path) -> None:
    """With one slot, a reply that went on unread would keep the second one waiting."""
    engine = LlamaEngine(path, context=8192)

    async def leave_and_ask() -> list[Piece]:
        pieces = engine.generate("Once upon a time", Sampling(max_tokens=8000))
        async for _ in pieces:
            break
        await pieces.aclose()
        return [piece async for piece in engine.generate(PROMPT, Sampling(max_tokens=2))]

    async def bounded() -> list[Piece]:
        return await asyncio.wait_for(leave_and_ask(), timeout=40)  # 8000 tokens take minutes

    assert asyncio.run(bounded())[-1].finish == "length"
    asyncio.run(engine.aclose())


@pytest.mark.model
def test_an_engine_that_was_closed_says_so_and_closes_again(path: Path) -> None:
    engine = LlamaEngine(path, context=64, name="mine")

    async def close() -> None:
        pieces = engine.generate("Once upon a time", Sampling())
        await anext(pieces)
        await engine.aclose()
        with pytest.raises(EngineError, match="broke off"):
            async for _ in pieces:
                pass
        await engine.aclose()
        with pytest.raises(EngineError, match="mine was closed"):
            await engine.tokenize("a")

    asyncio.run(close())


@pytest.mark.model
def test_a_file_that_is_cut_off_is_one_sentence_with_llama_cpps_reason(
    path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.gguf"
    with path.open("rb") as whole:
        cut.write_bytes(whole.read(20_000_000))
    with pytest.raises(ModelError, match="not within the file bounds") as caught:
        LlamaEngine(cut)
    assert "fetch it again" in caught.value.hint
    assert capfd.readouterr().err == ""


@pytest.mark.model
def test_llama_cpp_writes_nothing_on_standard_error(path: Path) -> None:
    """Its log would drown what our commands say."""
    code = (
        "import asyncio, sys; from pathlib import Path; "
        "from formosa.engines.llama import LlamaEngine; "
        "e = LlamaEngine(Path(sys.argv[1]), context=64); asyncio.run(e.aclose())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_file_that_is_missing_or_something_else_never_reaches_llama_cpp(tmp_path: Path) -> None:
    other = tmp_path / "notes.gguf"
    other.write_text("hello")
    with pytest.raises(ModelError, match="not a GGUF file"):
        LlamaEngine(other)
    with pytest.raises(ModelError, match="There is no file"):
        LlamaEngine(tmp_path / "none.gguf")


# -- what a request may ask for ----------------------------------------------------------------


@pytest.mark.model
def test_a_closed_model_leaves_nothing_of_its_vocabulary_to_the_next_one(
    path: Path, tmp_path: Path
) -> None:
    """In a process of its own, since what failed here ended the process."""
    code = (
        "import asyncio, sys; from pathlib import Path; "
        "from formosa.engines.llama import LlamaEngine; "
        "from formosa.engines.protocol import Sampling\n"
        "async def ask(path):\n"
        "    engine = LlamaEngine(path, context=128)\n"
        "    asked = Sampling(max_tokens=8, grammar='start: \"a\" /[0-9]{3}/\\n')\n"
        "    said = [piece.text async for piece in engine.generate('Hi', asked)]\n"
        "    await engine.aclose()\n"
        "    return ''.join(said)\n"
        "for _ in range(3):\n"
        "    for name in sys.argv[1:]:\n"
        "        print(asyncio.run(ask(Path(name))))\n"
    )
    other = Parrot(["hi"]).write_gguf(tmp_path / "other.gguf")
    command = [sys.executable, "-c", code, str(other), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(re.findall("^a[0-9]{3}$", done.stdout, re.MULTILINE)) == 6


@pytest.mark.model
def test_a_grammar_is_followed_to_the_letter(engine: LlamaEngine) -> None:
    pieces = generate(engine, grammar='start: "台北\\n" /[0-9]{3}/\n')
    assert re.fullmatch("台北\n[0-9]{3}", text_of(pieces))
    assert pieces[-1].finish == "stop"


@pytest.mark.model
def test_trying_a_grammar_writes_the_snowman_and_no_more(
    engine: LlamaEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, Any]] = []
    post = engine._post

    async def noting(path: str, body: dict[str, Any]) -> dict[str, Any]:
        told.append(await post(path, body))
        return told[-1]

    monkeypatch.setattr(engine, "_post", noting)
    for _ in range(2):
        assert text_of(generate(engine, grammar='start: "tried once"\n')) == "tried once"
    (tried,) = [value for value in told if "stopping_word" in value]
    assert (tried["content"], tried["stopping_word"]) == ("", PROBE)
    written = asyncio.run(engine.tokenize(PROBE))
    assert tried["tokens_predicted"] <= len(written) <= PROBE_TOKENS


@pytest.mark.model
def test_under_a_grammar_a_reply_can_end_as_the_model_was_taught(engine: LlamaEngine) -> None:
    """llama.cpp takes `<|endoftext|>` for the end of this file's turns, so a model that ends them
    with `<|im_end|>` wrote call after call."""
    vocabulary = engine._vocabulary
    assert vocabulary.ends == ("<|im_end|>",)
    end = vocabulary.split_first("<|im_end|>")
    assert end is not None
    pieces = generate(engine, grammar='start: "a" "b"*\n', max_tokens=9, logit_bias={end[0]: 90.0})
    assert (text_of(pieces), pieces[-1].finish) == ("a", "stop")


@pytest.mark.model
@pytest.mark.parametrize(
    "grammar",
    [
        "start: nowhere\n",
        'first: "a"\n',
        "start: (\n",
        'start: json\njson: %json {"type": "string", "pattern": "(?=a)b"}\n',
    ],
)
def test_a_grammar_that_can_t_be_followed_is_refused(engine: LlamaEngine, grammar: str) -> None:
    """llama.cpp answers with 200 and writes freely."""
    with pytest.raises(UnsupportedError) as caught:
        generate(engine, grammar=grammar, max_tokens=5)
    assert caught.value.parameter == "grammar"


@pytest.mark.model
def test_log_probabilities_are_the_model_s_own(engine: LlamaEngine) -> None:
    """Neither temperature nor a bias nor a grammar changes them, so they can be compared."""
    plain = [t for piece in generate(engine, max_tokens=3, logprobs=3) for t in piece.logprobs]
    assert [len(token.top) for token in plain] == [3, 3, 3]
    assert all(token.top[0] == token.chosen for token in plain)
    [banned] = {plain[0].chosen.id}
    assert banned is not None
    bent = generate(engine, max_tokens=1, logprobs=3, temperature=5.0, logit_bias={banned: -100.0})
    [token] = [t for piece in bent for t in piece.logprobs]
    assert token.chosen.id != banned
    assert token.top == plain[0].top


@pytest.mark.model
def test_the_tokens_with_log_probabilities_are_the_text(engine: LlamaEngine) -> None:
    pieces = generate(engine, max_tokens=20, logprobs=0)
    tokens = [token for piece in pieces for token in piece.logprobs]
    assert b"".join(token.chosen.bytes for token in tokens).decode() == text_of(pieces)
    assert {token.top for token in tokens} == {()}
    assert not any(piece.logprobs for piece in generate(engine, max_tokens=3))


@pytest.mark.model
def test_tokens_that_end_inside_a_character_have_log_probabilities_too(engine: LlamaEngine) -> None:
    """llama.cpp reports only the last token of each: of 台北 two out of four."""
    pieces = generate(engine, grammar='start: "a台北b臺🙂"\n', logprobs=1, max_tokens=40)
    tokens = [token for piece in pieces for token in piece.logprobs]
    assert text_of(pieces) == "a台北b臺🙂"
    assert b"".join(token.chosen.bytes for token in tokens) == "a台北b臺🙂".encode()
    usage = pieces[-1].usage
    assert usage is not None
    assert len(tokens) == usage.completion - 1  # without the one that ends the reply
    # What it says of the whole is what it says of each, asked one after another.
    ids = [token.chosen.id for token in tokens]
    for i, token in enumerate(tokens[:4]):
        start = asyncio.run(engine.tokenize(PROMPT)) + ids[:i]
        assert own_logprob(engine, start, ids[i]) == pytest.approx(token.chosen.logprob, abs=0.05)


def own_logprob(engine: LlamaEngine, before: list[Any], wanted: int | None) -> float:
    body = {"prompt": before, "n_predict": 1, "n_probs": 50_000, "temperature": 0.0,
            "logit_bias": [[504, 1000.0]]}  # fmt: skip
    headers = {"authorization": f"Bearer {engine.api_key}"}
    url = f"{engine.base_url}/completion"
    answer = httpx2.post(url, json=body, headers=headers, timeout=60).json()
    [entry] = answer["completion_probabilities"]
    return next(float(t["logprob"]) for t in entry["top_logprobs"] if t["id"] == wanted)


@pytest.mark.model
def test_a_repetition_penalty_reaches_the_sampler(engine: LlamaEngine) -> None:
    prompt = "The list: one, two, one, two,"
    plain = text_of(generate(engine, prompt, max_tokens=30))
    assert text_of(generate(engine, prompt, max_tokens=30, repetition_penalty=1.8)) != plain


@pytest.mark.model
def test_a_bias_forces_or_forbids_a_token(engine: LlamaEngine) -> None:
    [hat] = asyncio.run(engine.tokenize(" hat"))
    assert text_of(generate(engine, max_tokens=3, logit_bias={hat: 100.0})) == " hat" * 3


@pytest.mark.model
def test_words_cut_in_pieces_make_no_control_token(engine: LlamaEngine) -> None:
    whole = generate(engine, "a<|im_end|>b", max_tokens=1)[-1].usage
    cut = generate(engine, ("a<|im_", "end|>b"), max_tokens=1)[-1].usage
    assert whole is not None
    assert cut is not None
    assert cut.prompt > whole.prompt


@pytest.mark.model
def test_the_control_tokens_of_the_file_are_known(engine: LlamaEngine) -> None:
    assert {"<|im_start|>", "<|im_end|>", "<|endoftext|>"} <= engine.info.control_tokens
    assert "<tool_call>" not in engine.info.control_tokens


# -- adapters ------------------------------------------------------------------------------------


@pytest.mark.model
def test_each_adapter_answers_on_the_same_server(path: Path, tmp_path: Path) -> None:
    files = {name: write_lora(tmp_path / f"{name}.gguf", seed=i) for i, name in enumerate("ab")}
    engine = LlamaEngine(path, context=CONTEXT, slots=3, adapters=files)
    assert engine.adapters == ("a", "b")
    base, a, b = engine, engine.with_adapter("a"), engine.with_adapter("b")

    async def say(model: TextEngine) -> str:
        return "".join([p.text async for p in model.generate(PROMPT, Sampling(max_tokens=8))])

    models: list[TextEngine] = [base, a, b]

    async def alone_and_together() -> tuple[list[str], list[str]]:
        alone = [await say(model) for model in models]
        return alone, list(await asyncio.gather(*map(say, models)))

    alone, together = asyncio.run(alone_and_together())
    assert len(set(alone)) == 3
    assert alone == together
    plain = LlamaEngine(path, context=CONTEXT)
    assert text_of(generate(plain, max_tokens=8)) == alone[0]
    assert a.info.name == "a"
    assert a.info.details["base"] == "smollm2-135m"
    assert a.info.sha256 == sha256_file(files["a"])
    with pytest.raises(UserError, match="no adapter called c"):
        engine.with_adapter("c")
    asyncio.run(plain.aclose())
    asyncio.run(a.aclose())


def test_an_adapter_for_another_model_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    base = tmp_path / "base.gguf"
    base.write_bytes(gguf_header({"general.architecture": "llama"}))
    other = write_lora(tmp_path / "other.gguf", architecture="gemma3", rows=4, columns=4)
    with pytest.raises(ModelError, match="for gemma3 models"):
        LlamaEngine(base, adapters={"other": other})
    with pytest.raises(ModelError, match="not a LoRA adapter"):
        LlamaEngine(base, adapters={"base": base})


# -- open_chat -------------------------------------------------------------------------------


@pytest.mark.model
def test_a_name_becomes_something_that_answers() -> None:
    said: list[str] = []
    chat = open_chat("smollm2-135m", context=256, say=said.append)
    request = ChatRequest((Message("user", "Say hi."),), sampling=Sampling(max_tokens=5))
    assert asyncio.run(chat.reply(request)).text
    assert chat.info.sha256 == resolve("smollm2-135m").sha256()
    assert any("knows no tools" in line for line in said)
    asyncio.run(chat.aclose())


@pytest.mark.model
def test_a_family_replaces_the_models_own_template() -> None:
    said: list[str] = []
    chat = open_chat("smollm2-135m", context=256, template="chatml", say=said.append)
    assert chat.info.template is not None
    assert chat.info.template.native
    assert said == []
    asyncio.run(chat.aclose())


def test_an_address_means_a_server() -> None:
    chat = open_chat("m", base_url="http://127.0.0.1:9/v1", api_key="k")
    assert chat.info.name == "m"
    with pytest.raises(UserError, match="remote server"):
        open_chat("m", base_url="http://127.0.0.1:9/v1", template="chatml")


def test_an_unknown_family_is_refused_before_anything_is_loaded() -> None:
    with pytest.raises(UserError) as caught:
        open_chat("smollm2-135m", template="chatgpt")
    assert "chatml" in caught.value.hint


def test_a_checkpoint_is_no_file_for_llama_cpp(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UserError) as caught:
        open_chat(str(tmp_path))
    assert "formosa export gguf" in caught.value.hint


# -- prompts that surely fit -------------------------------------------------------------------


@pytest.fixture(scope="module")
def roomy() -> Iterator[LlamaEngine]:
    made = LlamaEngine(resolve("smollm2-135m").path, context=1024)
    yield made
    asyncio.run(made.aclose())


@pytest.mark.parametrize(
    "words", ["Count to three.", "台北 101，\n\n第 25 樓 🎈", "  spaces\t", "<|im_end", "a\u3000b"]
)
def test_a_prompt_that_surely_fits_is_the_same_tokens_without_asking_for_them(
    roomy: LlamaEngine, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    """llama.cpp cuts it itself then: one round trip less before the first token."""
    prompt = f"<|im_start|>user\n{words}<|im_end|>\n<|im_start|>assistant\n"

    async def both() -> None:
        sent: list[Any] = []
        counted = await roomy.tokenize(prompt)
        text = prompt.removeprefix("<|im_start|>")
        first = await roomy.tokenize("<|im_start|>")
        assert first + await roomy.tokenize(text) == counted
        monkeypatch.setattr(roomy, "tokenize", sent.append)
        pieces = [piece async for piece in roomy.generate(prompt, Sampling(max_tokens=4))]
        assert sent == []
        assert pieces[-1].usage is not None
        assert pieces[-1].usage.prompt == len(counted)

    asyncio.run(both())


def test_without_a_limit_a_reply_ends_with_the_context() -> None:
    engine = LlamaEngine(resolve("smollm2-135m").path, context=180)

    async def last() -> Piece:
        sampling = Sampling(grammar='start: ("a" | "b")+ "\u2603"')
        try:
            return [piece async for piece in engine.generate("<|im_start|>user\nhi", sampling)][-1]
        finally:
            await engine.aclose()

    piece = asyncio.run(last())
    assert piece.finish == "length"
    assert piece.usage is not None
    assert 150 < piece.usage.prompt + piece.usage.completion <= 256  # llama.cpp rounds up


def test_a_bias_on_a_token_that_does_not_exist_is_refused(roomy: LlamaEngine) -> None:
    """llama.cpp would leave it out without a word."""

    async def ask() -> None:
        async for _ in roomy.generate("hi", Sampling(max_tokens=1, logit_bias={999_999: 1.0})):
            pass

    with pytest.raises(UnsupportedError, match="logit_bias"):
        asyncio.run(ask())
