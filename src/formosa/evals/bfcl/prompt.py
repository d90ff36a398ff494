"""The system prompt of prompting mode, word for word as in bfcl-eval 2026.3.23.

The missing blank after its first sentence and the double one before "You SHOULD NOT" are its own.
Text: Apache-2.0, https://github.com/ShishirPatil/gorilla. The docs are JSON with escapes, so what
is Chinese in them reaches the model as \\uXXXX, as with the reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from formosa.chat.message import Message

SYSTEM_PROMPT = """\
You are an expert in composing functions.You are given a question and a set of possible functions. \
Based on the question, you will need to make one or more function/tool calls to achieve the \
purpose. If none of the functions can be used, point it out. \
If the given question lacks the parameters required by the function, also point it out.

You should only return the function calls in your response.

If you decide to invoke any of the function(s), you MUST put it in the format of \
[func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)].\
  You SHOULD NOT include any other text in the response.

At each turn, you should try your best to complete the tasks requested by the user within the \
current turn. Continue to output functions to call until you have fulfilled the user's request to \
the best of your ability. Once you have no more functions to call, the system will consider the \
current turn complete and proceed to the next turn or task.

Here is a list of functions in json format that you can invoke.
"""


def prompted(messages: Sequence[Message], docs: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """The conversation with the system prompt; the item's own system message follows it.

    Args:
        messages: of the item.
        docs: as `docs.shown` gives them.
    """
    system = SYSTEM_PROMPT + json.dumps(docs, indent=4) + "\n"
    if messages and messages[0].role == "system":
        first = replace(messages[0], content=f"{system}\n\n{messages[0].content}")
        return (first, *messages[1:])
    return (Message("system", system), *messages)
