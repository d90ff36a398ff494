"""Formosa: the whole life of a small Traditional-Chinese, tool-calling language model.

The names below are the public surface; everything else may change between versions.
"""

from formosa.chat.message import Message, Tool, ToolCall
from formosa.chat.parser import Reply, ReplyParser, parse_reply
from formosa.chat.schema import tool_from_function
from formosa.chat.template import ChatTemplate
from formosa.errors import FormosaError, UserError
from formosa.tools.function import tool

__version__ = "0.1.0"

__all__ = [
    "ChatTemplate",
    "FormosaError",
    "Message",
    "Reply",
    "ReplyParser",
    "Tool",
    "ToolCall",
    "UserError",
    "parse_reply",
    "tool",
    "tool_from_function",
]
