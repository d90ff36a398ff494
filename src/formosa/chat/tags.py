"""The tags of the format, as text."""

CALL, END_CALL, THINK, END_THINK = "<tool_call>", "</tool_call>", "<think>", "</think>"
