"""Raw text: one prompt or several, the old shape of log-probabilities, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.serve.completions import TextBody
from formosa.serve.protocol import RequestError, read_body
from formosa.serve.run import serving
from test_serve_replies import Bare, Client, Seeded, chunks_of

PATH = "/v1/completions"


def echoing(**options: Any) -> ScriptedEngine:
    return ScriptedEngine(lambda prompt: f"{prompt}!<tool_call>", **options)


def client_of(engine: ScriptedEngine) -> Client:
    return Client(TemplatedChat(engine))


def test_a_prompt_is_continued_as_it_is_and_nothing_is_parsed() -> None:
    engine = echoing()
    answer = client_of(engine).post(PATH, prompt="<|im_start|>raw").json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["text"] == "<|im_start|>raw!"[:16]
    assert answer["choices"][0]["finish_reason"] == "length", "16 tokens where nothing is said"
    assert engine.prompts == ["<|im_start|>raw"]


def test_several_prompts_have_choices_in_their_order() -> None:
    answer = client_of(echoing()).post(PATH, prompt=["a", "b"], n=2, max_tokens=99).json()
    assert [(c["index"], c["text"][0]) for c in answer["choices"]] == [
        (0, "a"), (1, "a"), (2, "b"), (3, "b"),
    ]  # fmt: skip
    length = len("a!<tool_call>")
    assert answer["usage"]["prompt_tokens"] == 2, "each prompt counts once"
    assert answer["usage"]["completion_tokens"] == 4 * length


def test_choices_of_one_prompt_have_seeds_of_their_own() -> None:
    answer = client_of(Seeded([])).post(PATH, prompt="x", n=2, seed=1).json()
    assert [choice["text"] for choice in answer["choices"]] == ["seed 1", "seed 2"]


def test_a_stream_adds_up_to_the_whole() -> None:
    client = client_of(echoing(chunk=2))
    fields: dict[str, Any] = {"prompt": ["ab", "cd"], "max_tokens": 9, "logprobs": 1}
    whole = client.post(PATH, **fields).json()
    options = {"include_usage": True}
    *chunks, last = chunks_of(client.post(PATH, **fields, stream=True, stream_options=options))
    for choice in whole["choices"]:
        parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        assert "".join(part["text"] for part in parts) == choice["text"]
        assert parts[-1]["finish_reason"] == choice["finish_reason"] == "length"
        for key, value in choice["logprobs"].items():
            assert [item for part in parts for item in part["logprobs"][key]] == value
    assert (last["choices"], last["usage"]) == ([], whole["usage"])


def test_logprobs_have_the_old_shape() -> None:
    answer = client_of(echoing()).post(PATH, prompt="台", logprobs=1, max_tokens=2).json()
    assert answer["choices"][0]["logprobs"] == {
        "tokens": ["台", "!"],
        "token_logprobs": [0.0, 0.0],
        "top_logprobs": [{"台": 0.0}, {"!": 0.0}],
        "text_offset": [0, 1],
    }


def test_a_stop_text_ends_the_reply() -> None:
    answer = client_of(echoing()).post(PATH, prompt="a", stop="!<", max_tokens=50).json()
    assert (answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]) == ("a", "stop")


def test_a_shape_is_forced_by_a_grammar() -> None:
    engine = ScriptedEngine([], under=lambda grammar: grammar)
    answer = client_of(engine).post(
        PATH, prompt="a", structured_outputs={"choice": ["yes", "no"]}, max_tokens=99
    )
    assert answer.json()["choices"][0]["text"] == 'start: "yes" | "no"'
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    answer = client_of(engine).post(
        PATH, prompt="a", structured_outputs={"json": schema}, max_tokens=999
    )
    assert '"properties"' in answer.json()["choices"][0]["text"]


def test_a_text_that_spells_a_tag_names_it_where_the_engine_has_it_as_a_token() -> None:
    """vLLM's grammars know no way to write `<tool_call>` out where it is one token."""
    texts = {"choice": ["<tool_call>\n{}\n</tool_call>", "no"]}
    engine = ScriptedEngine([], under=lambda grammar: grammar, tag_tokens=("<tool_call>",))
    wanted = 'start: <tool_call> "\\n{}\\n</tool_call>" | "no"'
    fields: dict[str, Any] = {"structured_outputs": texts, "max_tokens": 99}
    answer = client_of(engine).post(PATH, prompt="a", **fields).json()
    assert answer["choices"][0]["text"] == wanted
    client_of(engine).post(**fields)
    assert engine.requests[-1][1].grammar == wanted


def test_a_model_that_only_answers_conversations_says_so() -> None:
    answer = Client(Bare()).post(PATH, prompt="a")
    assert answer.status_code == 400
    assert "chat/completions" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": [1, 2]}, "prompt[0]"),
        ({"prompt": [[1, 2]]}, "prompt[0]"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"prompt": ["a"] * 129}, "prompt"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "suffix": "b"}, "suffix"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
        ({"prompt": "a", "logprobs": 21}, "logprobs"),
        ({"prompt": "a", "logprobs": True}, "logprobs"),
        ({"prompt": "a", "messages": []}, "messages"),
        ({"prompt": "a", "structured_outputs": {"json": 3}}, "structured_outputs.json"),
        (
            {"prompt": "a", "structured_outputs": {"json": {"type": "banana"}}},
            "structured_outputs.json.type",
        ),
        ({"prompt": "a", "add_special_tokens": True}, "add_special_tokens"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_its_path(
    fields: dict[str, Any], param: str
) -> None:
    with pytest.raises(RequestError) as caught:
        body = read_body(TextBody, json.dumps(fields).encode())
        body.prompts()
        body.samplings()
    assert (caught.value.status, caught.value.param) == (400, param)


def test_neutral_values_ask_for_nothing() -> None:
    def read(**fields: Any) -> list[Any]:
        return read_body(TextBody, json.dumps({"prompt": "a", **fields}).encode()).samplings()

    assert read(echo=False, suffix=None, best_of=1, logprobs=None, n=1) == read()


def test_the_official_client_reads_both_kinds_of_answer() -> None:
    chat = TemplatedChat(echoing())
    with (
        serving({"m": chat}) as url,
        openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client,
    ):
        whole = client.completions.create(model="m", prompt="ab", max_tokens=5, logprobs=1)
        chunks = list(client.completions.create(model="m", prompt="ab", max_tokens=5, stream=True))
    assert whole.choices[0].text == "".join(c.choices[0].text for c in chunks) == "ab!<t"
    assert whole.choices[0].logprobs is not None
    assert whole.choices[0].logprobs.tokens == list("ab!<t")
    assert whole.usage is not None
    assert whole.usage.total_tokens == 7
