"""The tags of the format, as text, and how far the parser looks around them."""

CALL, END_CALL, THINK, END_THINK = "<tool_call>", "</tool_call>", "<think>", "</think>"

SPACE = 256  # characters of white space after which a tag is no longer waited for


def partial_tag(text: str, tags: tuple[str, ...]) -> int:
    """Where a tag that is cut off by the end of `text` begins; the length if there is none."""
    start = text.rfind("<", max(0, len(text) - len(END_CALL)))
    if start < 0 or not any(tag.startswith(text[start:]) for tag in tags):
        return len(text)
    return start
