"""One rendering makes the text and its training spans; a stranger's template runs in a sandbox."""

from __future__ import annotations

import json
import threading
from typing import Any

import jinja2
import jinja2.ext
import jinja2.sandbox
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chat_strategies import conversations
from formosa.chat.check import write_reply
from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.template import (
    FAMILIES,
    ChatTemplate,
    Family,
    family_of_vocabulary,
    opens_reasoning,
)
from formosa.errors import MessageError, UserError

CONVERSATION = [
    Message("system", "你是助理。"),
    Message("user", "臺北和高雄的天氣？"),
    Message(
        "assistant",
        "查一下。",
        "要查兩次",
        (
            ToolCall("get_weather", '{"location": "臺北"}', "a"),
            ToolCall("get_weather", '{"location": "高雄"}', "b"),
        ),
    ),
    Message("tool", "晴", tool_call_id="a", name="get_weather"),
    Message("tool", "雨", tool_call_id="b", name="get_weather"),
    Message("assistant", "臺北晴，高雄雨。"),
]
TOOL = Tool("get_weather", "天氣", '{"type": "object", "properties": {"location": {}}}')


def test_the_format_as_it_is_promised_to_trained_models() -> None:
    """A change of one character here needs new models: raise the version in formosa.jinja."""
    rendered = ChatTemplate.formosa("chatml").render(CONVERSATION, [TOOL])
    assert rendered.text == (
        "<|im_start|>system\n你是助理。\n\n"
        "You may call these tools:\n<tools>\n"
        '{"type": "function", "function": {"name": "get_weather", "description": "天氣", '
        '"parameters": {"type": "object", "properties": {"location": {}}}}}\n'
        "</tools>\nFor each call, write one JSON object in its own tags:\n"
        '<tool_call>\n{"name": "tool-name", "arguments": {"argument": "value"}}\n</tool_call>'
        "<|im_end|>\n"
        "<|im_start|>user\n臺北和高雄的天氣？<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n要查兩次\n</think>\n\n查一下。\n"
        '<tool_call>\n{"name": "get_weather", "arguments": {"location": "臺北"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "get_weather", "arguments": {"location": "高雄"}}\n</tool_call>'
        "<|im_end|>\n"
        "<|im_start|>tool\n<tool_response>\n晴\n</tool_response>\n"
        "<tool_response>\n雨\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n臺北晴，高雄雨。<|im_end|>\n"
    )


def test_the_spans_are_the_assistant_s_words_and_its_stop_token() -> None:
    rendered = ChatTemplate.formosa("llama3").render(CONVERSATION, [TOOL])
    words = [rendered.text[start:end] for start, end in rendered.spans]
    assert words == [
        write_reply(CONVERSATION[2]) + "<|eot_id|>",
        write_reply(CONVERSATION[5]) + "<|eot_id|>",
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_prompt_is_what_stands_before_the_reply(family: str) -> None:
    """What is generated must continue what was trained, to the character."""
    template = ChatTemplate.formosa(family)
    whole = template.render(CONVERSATION, [TOOL])
    for (start, _), turn in zip(whole.spans, (2, 5), strict=True):
        assert template.prompt(CONVERSATION[:turn], [TOOL]) == whole.text[:start]


@settings(deadline=None)
@given(conversations(), st.sampled_from(sorted(FAMILIES)), st.booleans())
def test_another_renderer_gives_the_same_text(
    conversation: tuple[list[Message], list[Tool]], family: str, prompt: bool
) -> None:
    """Plain Jinja with every white-space option the other way: some engines don't trim blocks."""
    messages, tools = conversation
    template = ChatTemplate.formosa(family)
    source = template.source.replace("{%- generation -%}", "{%- if true -%}")
    source = source.replace("{%- endgeneration -%}", "{%- endif -%}")
    environment = jinja2.Environment(trim_blocks=False, lstrip_blocks=False)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    expected = environment.from_string(source).render(
        messages=[message.to_openai() for message in messages],
        tools=[tool.to_openai() for tool in tools] or None,
        add_generation_prompt=prompt,
    )
    rendered = template.render(messages, tools, add_generation_prompt=prompt)
    assert rendered.text == expected
    assert len(rendered.spans) == sum(message.role == "assistant" for message in messages)
    assert all(rendered.text[:end].endswith(template.stop) for _, end in rendered.spans)


@pytest.mark.train
@settings(max_examples=60, deadline=None)
@given(conversations(), st.sampled_from(sorted(FAMILIES)), st.booleans())
def test_transformers_gives_the_same_text_and_the_same_mask(
    conversation: tuple[list[Message], list[Tool]], family: str, prompt: bool
) -> None:
    messages, tools = conversation
    assume(messages)  # transformers refuses an empty conversation
    template = ChatTemplate.formosa(family)
    tokenizer = character_tokenizer(template.source)
    options: dict[str, Any] = {
        "tools": [tool.to_openai() for tool in tools] or None,
        "add_generation_prompt": prompt,
    }
    values = [message.to_openai() for message in messages]
    rendered = template.render(messages, tools, add_generation_prompt=prompt)
    assert tokenizer.apply_chat_template(values, tokenize=False, **options) == rendered.text
    masks = tokenizer.apply_chat_template(
        values, return_dict=True, return_assistant_tokens_mask=True, **options
    )["assistant_masks"]
    ours = [0] * len(rendered.text)
    for start, end in rendered.spans:
        ours[start:end] = [1] * (end - start)
    assert masks == ours


def character_tokenizer(template: str) -> Any:
    """One token for each character, so that a mask of tokens is one of characters."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=inner, chat_template=template)


# -- templates of strangers ----------------------------------------------------------------------


def test_a_foreign_template_gets_arguments_as_an_object() -> None:
    """Many write `arguments | tojson`, which would quote a text a second time."""
    source = "{% for m in messages %}{{ m.tool_calls[0].function.arguments | tojson }}{% endfor %}"
    call = ToolCall("f", '{"城市":"臺北"}')
    message = Message("assistant", tool_calls=(call,))
    assert ChatTemplate.from_source(source).render([message]).text == '{"城市": "臺北"}'


def test_a_foreign_template_gets_the_names_that_transformers_gives_it() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
        "{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"
        "{{ tools | tojson(separators=(',', ':'), sort_keys=true) }}"
        "{{ {'é': 1} | tojson(true) }}{{ mood }}{{ add_generation_prompt }}{{ eos_token }}"
    )
    template = ChatTemplate.from_source(source, bos_token="<s>", eos_token="</s>")
    assert template.stop == "</s>"
    rendered = template.render(
        [Message("system", "x"), Message("user", "hi")], [Tool("f")], mood="gay"
    )
    assert rendered.text == (
        '<s>hi[{"function":{"description":"","name":"f","parameters":'
        '{"properties":{},"type":"object"}},"type":"function"}]'
        '{"\\u00e9": 1}gayFalse</s>'
    )
    assert rendered.spans == ((3, 5),)


def test_there_is_no_clock() -> None:
    """What is rendered today is rendered tomorrow. Llama 3 asks first whether there is one."""
    template = ChatTemplate.from_source(
        "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% else %}26 Jul{% endif %}"
    )
    assert template.render([]).text == "26 Jul"
    with pytest.raises(MessageError, match="strftime_now"):
        ChatTemplate.from_source("{{ strftime_now('%Y') }}").render([])


@pytest.mark.parametrize("family", FAMILIES)
def test_our_own_format_is_recognised_by_its_bytes(family: str) -> None:
    own = ChatTemplate.formosa(family)
    assert ChatTemplate.from_source(own.source) is own
    assert own.native
    assert own.stop == FAMILIES[family].close
    other = ChatTemplate.from_source(own.source + " ")
    assert not other.native
    assert other.sha256 != own.sha256


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__ }}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages | attr('__class__') | attr('__mro__') }}",
        "{{ ''.__class__ }}{{ ''['__class__']['__base__'] }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ ('{0.__class__' ~ '.__mro__}').format(messages) }}",
        "{{ ['{0.__class__.__mro__}'] | map('format', messages) | list }}",
        "{{ raise_exception.__globals__ }}",
        "{{ raise_exception.__globals__['json'] }}",
        "{{ cycler.__init__.__globals__.os.system('true') }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'content': 'x'}) }}",
        "{{ messages[0].clear() }}",
        "{% set messages[0].content = 'x' %}",
        "{{ range(10000000) | list }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
    ],
)
def test_the_sandbox_lets_nothing_out_and_nothing_be_changed(source: str) -> None:
    message = Message("user", "hi")
    try:
        text = ChatTemplate.from_source(source).render([message]).text
    except UserError:
        return
    assert text == ""  # an attribute that is not there is undefined, and prints nothing


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{ raise_exception('Only user and assistant!') }}", "Only user and assistant!"),
        ("{{ messages[0].nothing.more }}", "nothing"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("{{ 'a' + 1 }}", "str"),
        ("{{ '{}{}'.format(1) }}", "index"),
        ("{{ '{a}'.format() }}", "a"),
        ("{{ [].index(1) }}", "list"),
        ("{{ 10.0 ** 1000 }}", "out of range"),
        ("{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(1) }}", "recursion"),
    ],
)
def test_what_a_template_refuses_is_told_in_its_own_words(source: str, problem: str) -> None:
    with pytest.raises(MessageError, match=problem):
        ChatTemplate.from_source(source).render([Message("user", "hi")])


@pytest.mark.parametrize(
    "source",
    ["{% if %}", "{{ a", "{% for %}{% endfor %}", "{{ 1 | no_such_filter }}", "{% break %}"],
)
def test_text_that_is_no_template_is_refused_when_it_is_read(source: str) -> None:
    with pytest.raises(UserError, match="not valid Jinja, line 1"):
        ChatTemplate.from_source(source)


def test_a_template_nested_too_deeply_is_refused() -> None:
    with pytest.raises(UserError):
        ChatTemplate.from_source("{{" + "(" * 20_000 + "1" + ")" * 20_000 + "}}")


def test_a_message_that_no_template_can_hold_is_refused_with_its_path() -> None:
    with pytest.raises(MessageError) as caught:
        ChatTemplate.formosa().render([Message("user", "a"), Message("user", reasoning="b")])
    assert caught.value.path == "messages[1].reasoning"


def test_threads_share_a_template_and_not_their_spans() -> None:
    """A server renders in several threads. Each stops in the middle, so that they overlap."""
    inside = threading.Barrier(4, timeout=60)
    template = ChatTemplate.from_source(
        "{% for m in messages %}{{ meet() }}{% generation %}{{ m.content }}{% endgeneration %}"
        "{{ meet() }}.{% endfor %}"
    )
    found: dict[int, tuple[tuple[int, int], ...]] = {}

    def meet() -> str:
        inside.wait()
        return ""

    def render(size: int) -> None:
        message = Message("assistant", "x" * size)
        found[size] = template.render([message] * 3, meet=meet).spans

    threads = [threading.Thread(target=render, args=(size,)) for size in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {
        size: tuple((i * (size + 1), i * (size + 1) + size) for i in range(3))
        for size in range(1, 5)
    }


def test_a_rendering_that_failed_leaves_nothing_behind() -> None:
    template = ChatTemplate.from_source(
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{{ 1 / n }}"
        "{% endfor %}"
    )
    with pytest.raises(MessageError):
        template.render([Message("assistant", "a")], n=0)
    assert template.render([Message("assistant", "a")], n=1).spans == ((0, 1),)


# -- families ------------------------------------------------------------------------------------


def test_a_family_is_found_by_the_tokens_of_the_vocabulary() -> None:
    assert family_of_vocabulary(["a", "<|im_end|>", "<|im_start|>"]).name == "chatml"
    assert family_of_vocabulary({"<|start_header_id|>", "<|eot_id|>"}).name == "llama3"
    assert family_of_vocabulary({"<start_of_turn>", "<end_of_turn>"}).name == "gemma"
    with pytest.raises(UserError, match="no known family"):
        family_of_vocabulary(["<|im_start|>"])


def test_a_family_of_one_s_own_can_be_written() -> None:
    family = Family("mine", "^", "[", "]", ";", "\n", "bot")
    template = ChatTemplate.formosa(family)
    assert template.prompt([Message("user", "hi")]) == "^[user]hi;\n[bot]"


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("…assistant\n<think>\n", True),
        ("…assistant\n<think>", True),
        ("…assistant\n", False),
        ("<think> …assistant\n", False),
        ("…assistant\n<think>\n\n</think>\n\n", False),
        ("", False),
    ],
)
def test_a_prompt_may_open_a_think_block(prompt: str, opened: bool) -> None:
    assert opens_reasoning(prompt) is opened
