"""`--importance`: what a model does with a text, noted before its weights are rounded."""

from __future__ import annotations

from pathlib import Path

import click

from formosa.errors import DataError

importance_option = click.option(
    "--importance",
    "calibration",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Rows (.jsonl) or a text: which columns matter is noted on it, for less than 8 bits.",
)


def calibration_texts(path: Path | None, checkpoint: Path) -> list[str]:
    """What `--importance` names: rows of Formosa, as the checkpoint's template writes them, or any
    text.

    Raises:
        DataError: rows that can't be read, or no text.
    """
    if path is None:
        return []
    if path.suffix != ".jsonl":
        try:
            return [path.read_text(encoding="utf-8")]
        except UnicodeDecodeError as error:
            raise DataError(f"{path} is no text in UTF-8.", "name a .txt or a .jsonl") from error
    from formosa.chat.template import ChatTemplate
    from formosa.data.rows import read_rows

    template = ChatTemplate.from_source(
        (checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    )
    return [row.text or template.render(row.messages, row.tools).text for row in read_rows(path)]
