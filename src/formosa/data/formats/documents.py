"""`text` and `moj-law`: documents for continued pre-training.

`text`: one field holds the whole document (`text`, or the recipe's `text_field`). The documents
that Formosa wrote itself are read so, too.

`moj-law`: a statute of Taiwan's Ministry of Justice, as its open data has them: the name, when it
was last changed, the preamble, and the articles under their chapters. Line breaks that the
ministry sets within a sentence are its layout and are taken out.
"""

from __future__ import annotations

import re
from typing import Any

from formosa.data.formats.draft import Draft, Format, Row
from formosa.data.formats.fields import id_of, list_of, mapping_of, refuse_others, text_of
from formosa.data.formats.problems import EMPTY, RowError

NAME, ARTICLES, NUMBER, WORDS, CHAPTER = "法規名稱", "法規內容", "條號", "條文內容", "編章節"
_WITHIN = re.compile(r"(?<=[^\s。：；」）)])\r?\n(?=[^\s一二三四五六七八九十（(])")


def _is_text(value: Row) -> bool:
    return isinstance(value.get("text"), str) and not value.get("messages")


def _convert_text(value: Row, setting: Any) -> Draft:
    if not value["text"].strip():
        raise RowError("text", "is empty", EMPTY)
    return Draft(
        text=value["text"],
        id=id_of(value.get("id")),
        kind=text_of(value.get("kind"), "kind"),
        language=text_of(value.get("language"), "language"),
        scores=mapping_of(value.get("scores") or {}, "scores"),
    )


def _is_law(value: Row) -> bool:
    return isinstance(value.get(NAME), str) and isinstance(value.get(ARTICLES), list)


def _convert_law(value: Row, setting: Any) -> Draft:
    parts = [value[NAME]]
    if preamble := text_of(value.get("前言"), "前言"):
        parts.append(_plain(preamble))
    for i, item in enumerate(list_of(value[ARTICLES], ARTICLES)):
        path = f"{ARTICLES}[{i}]"
        fields = mapping_of(item, path)
        refuse_others(fields, {NUMBER, WORDS, CHAPTER}, path)
        if chapter := text_of(fields.get(CHAPTER), path):
            parts.append(chapter.strip())
        if words := text_of(fields.get(WORDS), path):
            parts.append(f"{text_of(fields.get(NUMBER), path).strip()}\n{_plain(words)}".strip())
    if len(parts) == 1:
        raise RowError(ARTICLES, "there is no article", EMPTY)
    return Draft(text="\n\n".join(parts), language="zh-TW")


def _plain(text: str) -> str:
    return _WITHIN.sub("", text).replace("\r\n", "\n").strip()


TEXT = Format(
    name="text",
    about="documents",
    fields=frozenset({"text", "id", "kind", "language", "scores"}),
    leaves=frozenset({"source"}),
    fits=_is_text,
    convert=_convert_text,
)
LAW = Format(
    name="moj-law",
    about="statutes of Taiwan's Ministry of Justice",
    fields=frozenset({NAME, ARTICLES, "前言"}),
    leaves=frozenset(
        {
            *("法規性質", "法規網址", "法規類別", "法規位階", "最新異動日期", "是否英譯註記"),
            *("英文法規名稱", "沿革內容", "生效日期", "生效內容", "廢止註記", "附件", "PCode"),
        }
    ),
    fits=_is_law,
    convert=_convert_law,
)
