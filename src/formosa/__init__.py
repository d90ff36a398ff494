"""Formosa: the whole life of a small Traditional-Chinese, tool-calling language model.

The names below are the public surface; everything else may change between versions.

    from formosa import connect, tool

    @tool
    def get_weather(location: str) -> str:
        \"\"\"查詢氣溫\"\"\"
        return f"{location} 26 度"

    with connect("smollm2-135m", tools=[get_weather]) as chat:
        print(chat.ask("台北氣溫如何？").answer)
"""

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.parser import ReplyParser, parse_reply
from formosa.chat.reply import Reply
from formosa.chat.schema import tool_from_function
from formosa.chat.template import ChatTemplate
from formosa.engines.protocol import Sampling
from formosa.errors import FormosaError, UserError
from formosa.tools.connect import connect
from formosa.tools.converse import Transcript, converse, converse_sync
from formosa.tools.function import tool
from formosa.tools.registry import Registry, ToolError
from formosa.tools.runner import Limits, run_calls

__version__ = "0.1.0"

__all__ = [
    "ChatTemplate",
    "FormosaError",
    "Limits",
    "Message",
    "Registry",
    "Reply",
    "ReplyParser",
    "Sampling",
    "Tool",
    "ToolCall",
    "ToolError",
    "Transcript",
    "UserError",
    "connect",
    "converse",
    "converse_sync",
    "parse_reply",
    "run_calls",
    "tool",
    "tool_from_function",
]
