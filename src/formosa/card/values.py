"""A card's text as typed values, and back: front matter between `---` lines, then Markdown.

The fields stay as they were read: order, unknown keys and unknown shapes survive. A card whose
fields nobody changed gives back its very bytes, comments and line ends included; a changed one is
written by PyYAML with the hub's settings, which loses YAML comments only.

Why not `huggingface_hub.ModelCard` itself: it puts its known keys first, flattens the model-index
(a second model and unknown keys in a metric are lost) and loads YAML without limits. Its
`EvalResult` and its conversion to and from a model-index are used.

A card comes from strangers. YAML is read with `SafeLoader` (no Python objects) and with limits:
no aliases (which is how a few bytes become gigabytes; no card needs them), `MAX_DEPTH` levels,
`MAX_FRONT_MATTER` characters, and no key twice, where YAML readers disagree on which one counts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from formosa.errors import CardError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

MAX_CARD = 8 << 20  # bytes; the largest cards on the hub are below 2 MB
MAX_FRONT_MATTER = 512 << 10  # characters; read in about two seconds
MAX_DEPTH = 24  # a model-index has seven

# The hub's own expression, without the white space that it allows before the first line.
_BLOCK = re.compile(r"---[ \t]*(?:\r\n|\r|\n)(.*?)(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|\Z)", re.S)
_EMPTY = re.compile(r"---[ \t]*(?:\r\n|\r|\n)---[ \t]*(?:\r\n|\r|\n|\Z)")


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        fields: the front matter, in the order of the file. {} where there is none.
        body: the Markdown after it.
        head: the front matter's text as it was read, with its `---` lines; "" for a new card or
            after a change. It is what `text()` gives back.
    """

    fields: Mapping[str, Any]
    body: str
    head: str = field(default="", compare=False)

    def text(self) -> str:
        """README.md."""
        if self.head or not self.fields:
            return self.head + self.body
        return front_matter(self.fields) + self.body

    def changed(self, **fields: Any) -> Card:
        """The card with some fields set (`model_index` is written `model-index`), None removes
        one. Other fields keep their place, new ones go to the end."""
        named = {("model-index" if k == "model_index" else k): v for k, v in fields.items()}
        merged = {**self.fields, **named}
        return replace(self, fields={k: v for k, v in merged.items() if v is not None}, head="")

    @property
    def license(self) -> str:
        """The hub's id of the licence; "" where it is missing or no text."""
        value = self.fields.get("license")
        return value if isinstance(value, str) else ""

    @property
    def language(self) -> tuple[str, ...]:
        return self._texts("language")

    @property
    def base_model(self) -> tuple[str, ...]:
        return self._texts("base_model")

    @property
    def tags(self) -> tuple[str, ...]:
        return self._texts("tags")

    @property
    def datasets(self) -> tuple[str, ...]:
        return self._texts("datasets")

    @property
    def library_name(self) -> str:
        return "".join(self._texts("library_name")[:1])

    @property
    def pipeline_tag(self) -> str:
        return "".join(self._texts("pipeline_tag")[:1])

    @property
    def results(self) -> tuple[EvalResult, ...]:
        """Every metric of the model-index, flat.

        Raises:
            CardError: the model-index does not have the hub's shape.
        """
        index = self.fields.get("model-index")
        if index is None:
            return ()
        from huggingface_hub.repocard_data import model_index_to_eval_results

        try:
            return tuple(model_index_to_eval_results(index)[1])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            missing = f"no {error}" if isinstance(error, KeyError) else str(error)
            raise CardError(
                f"The model-index does not have the hub's shape: {missing}.",
                "see https://github.com/huggingface/hub-docs/blob/main/modelcard.md",
            ) from error

    def _texts(self, key: str) -> tuple[str, ...]:
        """A field that may be one text or a list; what is no text is left out."""
        value = self.fields.get(key)
        values = value if isinstance(value, list) else [value]
        return tuple(item for item in values if isinstance(item, str))


def read_card(path: Path) -> Card:
    """The card in `path`.

    Raises:
        CardError: missing, too large, no UTF-8, or its front matter can't be read (`parse_card`).
    """
    return parse_card(read_text(path), str(path))


def read_text(path: Path) -> str:
    """The text of a card, line ends as they are.

    Raises:
        CardError: missing, larger than MAX_CARD bytes, or no UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CARD + 1)
    except OSError as error:
        raise CardError(
            f"Cannot read the card {path}: {error.strerror or error}.",
            "name a README.md; `formosa card write RUN` makes one from a run folder",
        ) from error
    if len(data) > MAX_CARD:
        raise CardError(f"{path} has more than {MAX_CARD >> 20} MiB, too large for a card.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CardError(f"{path} is not UTF-8: {error.reason} at byte {error.start}.") from error


def split_card(text: str) -> tuple[str, str, str]:
    """(front matter with its `---` lines, the YAML in it, Markdown after it), loss-free."""
    if match := _EMPTY.match(text):
        return match[0], "", text[match.end() :]
    match = _BLOCK.match(text)
    return (match[0], match[1], text[match.end() :]) if match else ("", "", text)


def parse_card(text: str, where: str = "the card") -> Card:
    """A card from the text of its README.md; without front matter it has no fields.

    Raises:
        CardError: the front matter is no YAML mapping, or goes beyond a limit of this module.
    """
    head, block, body = split_card(text)
    return Card(read_yaml(block, where) if block.strip() else {}, body, head)


def read_yaml(block: str, where: str) -> dict[str, Any]:
    """One YAML mapping, within the limits of this module.

    Raises:
        CardError: with the line.
    """
    if len(block) > MAX_FRONT_MATTER:
        raise CardError(
            f"{where}: the front matter has {len(block)} characters, more than {MAX_FRONT_MATTER}.",
            "move long texts below the front matter",
        )
    try:
        value = _Loader(block).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 2}" if mark else ""  # the first line is `---`
        raise CardError(f"{where}{line}: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError) as error:
        # Not marked: characters that YAML forbids, and numbers or dates that Python refuses.
        raise CardError(f"{where}: the front matter is no YAML: {_first_line(error)}.") from error
    if not isinstance(value, dict):
        raise CardError(
            f"{where}: the front matter must be a mapping, not {type(value).__name__}.",
            "write it as `key: value` lines between two lines of ---",
        )
    return value


def node_of(block: str) -> yaml.Node | None:
    """The YAML of a front matter that `read_yaml` takes, as nodes: they know their lines.

    Raises:
        yaml.YAMLError: no YAML, or beyond a limit of this module.
    """
    if len(block) > MAX_FRONT_MATTER:
        return None
    node: yaml.Node | None = _Loader(block).get_single_node()
    return node


def front_matter(fields: Mapping[str, Any]) -> str:
    """The fields as a block with its `---` lines, keys in the order given."""
    # No line is folded: a folded link can't be clicked, and width changes between versions.
    block = yaml.dump(
        dict(fields), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf
    )
    return f"---\n{block}---\n"


def finite(value: Any) -> bool:
    """Whether `value` is a number that can be a score (true and .nan are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


class _Dumper(yaml.SafeDumper):
    """Writes a value that is used twice out twice: the reader takes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _Loader(yaml.SafeLoader):
    """SafeLoader with limits that hold *while* it reads, so that nothing grows first."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed in a card",
                problem_mark=event.start_mark,
            )
        if self.depth == MAX_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested more than {MAX_DEPTH} levels deep", problem_mark=event.start_mark
            )
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
