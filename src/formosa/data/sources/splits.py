"""Which files of a data set are the split that was asked for: the rules of `datasets`.

1. The card's front matter (`configs:`) says it, where there is one.
2. data/train-00000-of-00003.parquet: the split is the name before the numbers; any name will do.
3. A folder, or else the names of files, hold a word for the split: train, validation, test, or one
   of the words that stand for them (`dev`, `eval`, …), between signs that are no letters.
4. Nothing does: everything is `train`.

Of a set in numbered parts all must be there: half a split is never taken for a whole one.
Knows names only; nothing here reads a file but the text of the card.
"""

from __future__ import annotations

import fnmatch
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from formosa.data.sources.local import SUFFIXES, is_data, matches
from formosa.errors import DataError

WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
IGNORED = {"config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json"}
_NUMBERED = re.compile(r"(?:.*/)?data/(?P<split>[^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]+")
_PART = re.compile(r"(?P<start>.*)-(?P<part>\d{5})-of-(?P<parts>\d{5})(?P<end>.*)")
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t\r]*$", re.DOTALL | re.MULTILINE)


def front_matter(card: str) -> Mapping[str, Any]:
    """The YAML at the beginning of a data set's card; empty where there is none, or none that is
    YAML."""
    found = _FRONT.match(card)
    if not found:
        return {}
    try:
        value = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def licence_of(front: Mapping[str, Any]) -> str:
    """The licence that a card names; "" where it names none."""
    value = front.get("license")
    if value == "other":
        value = front.get("license_name") or value
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "" if value in (None, "unknown") else str(value)


def choose(
    names: Iterable[str],
    front: Mapping[str, Any],
    *,
    config: str = "",
    split: str = "train",
    files: Sequence[str] = (),
) -> list[str]:
    """The data files of a split, in order.

    Args:
        names: every file of the data set, as paths.
        front: the front matter of its card.
        config: a configuration; needed where there are several and none is the default.
        split: name of the split.
        files: patterns that are used instead of all this.

    Raises:
        DataError: there is no such configuration, split or file; names those that there are.
    """
    every = sorted(names)
    if files:
        chosen = [name for name in every if matches(name, files)]
        if not chosen:
            raise DataError(f"No file is like {', '.join(files)}.", _those(every))
    else:
        splits = _splits(every, front, config)
        if split not in splits:
            raise DataError(
                f"There is no split {split!r}.",
                f"there are {', '.join(splits) or 'none'}; or give patterns with files",
            )
        chosen = splits[split]
    _refuse_unreadable(chosen)
    _refuse_gaps(chosen)
    return chosen


def _splits(every: list[str], front: Mapping[str, Any], config: str) -> dict[str, list[str]]:
    configs = [item for item in front.get("configs") or () if isinstance(item, dict)]
    if not configs:
        within = [name for name in every if not config or name.startswith(f"{config}/")]
        if not within:
            folders = dict.fromkeys(name.split("/")[0] for name in every if "/" in name)
            raise DataError(
                f"There is no configuration {config!r}, and no folder of that name.",
                f"there are the folders {', '.join(folders)}" if folders else "leave config out",
            )
        return _by_names(within)
    chosen = _configuration(configs, config)
    folder = str(chosen.get("data_dir") or "").strip("/")
    within = [name for name in every if not folder or name.startswith(f"{folder}/")]
    if chosen.get("data_files") is None:
        return _by_names(within)
    return {
        split: [name for name in within if _fits(name, patterns, folder)]
        for split, patterns in _patterns(chosen["data_files"]).items()
    }


def _configuration(configs: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    by_name = {str(item.get("config_name", "default")): item for item in configs}
    if wanted:
        if wanted not in by_name:
            raise DataError(
                f"There is no configuration {wanted!r}.", f"there are {', '.join(by_name)}"
            )
        return by_name[wanted]
    marked = [item for item in configs if item.get("default") is True]
    if len(configs) == 1 or marked:
        return (marked or configs)[0]
    if "default" in by_name:
        return by_name["default"]
    raise DataError(
        "The data set has several configurations.", f"choose with config: {', '.join(by_name)}"
    )


def _patterns(value: Any) -> dict[str, list[str]]:
    """Patterns by split, from each of the shapes that a card may have."""
    if isinstance(value, str):
        return {"train": [value]}
    if isinstance(value, dict):
        return {str(split): _strings(paths) for split, paths in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(item.get("split", "train")): _strings(item.get("path")) for item in value}
    return {"train": _strings(value)}


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    raise DataError(f"The data set's card names its files in a way that can't be read: {value!r}.",
                    "give patterns with files")  # fmt: skip


def _fits(name: str, patterns: Sequence[str], folder: str) -> bool:
    """Whether a path fits a pattern of the card. There `*` stays within a folder, `**` does not."""
    inner = name.removeprefix(f"{folder}/") if folder else name
    for pattern in patterns:
        plain = pattern.removeprefix("./").rstrip("/")
        deep = "**" in plain
        if fnmatch.fnmatchcase(inner, plain) and (deep or inner.count("/") == plain.count("/")):
            return True
        if deep and fnmatch.fnmatchcase(inner, plain.replace("**/", "")):
            return True
        if inner.startswith(f"{plain}/"):  # a folder
            return True
    return False


def _by_names(every: list[str]) -> dict[str, list[str]]:
    """Splits by the names of folders and files."""
    data = [name for name in every if not _is_hidden(name)]
    numbered: dict[str, list[str]] = defaultdict(list)
    for name in data:
        if found := _NUMBERED.fullmatch(name):
            numbered[found["split"]].append(name)
    if numbered:
        return dict(numbered)
    data = [name for name in data if is_data(name)] or data
    for part in (_folders, _file):
        found_splits = {
            split: [name for name in data if any(_has_word(part(name), word) for word in words)]
            for split, words in WORDS.items()
        }
        found_splits = {split: names for split, names in found_splits.items() if names}
        if found_splits:
            return found_splits
    return {"train": data} if data else {}


def _folders(name: str) -> str:
    return name.rpartition("/")[0]


def _file(name: str) -> str:
    return name.rpartition("/")[2]


def _has_word(text: str, word: str) -> bool:
    return bool(re.search(rf"(?:^|[-._ 0-9/]){word}(?:$|[-._ 0-9/])", text))


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return (
        any(part.startswith((".", "__")) for part in parts)
        or parts[-1] in IGNORED
        or parts[-1].lower().endswith(".md")
    )


def _refuse_unreadable(names: Sequence[str]) -> None:
    for name in names:
        if not is_data(name):
            raise DataError(
                f"{name} is none of {', '.join(SUFFIXES)}.",
                "choose others with files; many data sets have their rows as Parquet in the branch "
                "refs/convert/parquet",
            )
    if not names:
        raise DataError("The split has no files.", "give patterns with files")


def _refuse_gaps(names: Sequence[str]) -> None:
    """Refuse a numbered set with a part missing."""
    parts: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for name in names:
        if found := _PART.fullmatch(name):
            parts[found["start"], found["parts"], found["end"]].add(int(found["part"]))
    for (start, count, end), there in parts.items():
        missing = sorted(set(range(int(count))) - there)
        if missing:
            first = f"{start}-{missing[0]:05d}-of-{count}{end}"
            raise DataError(f"Of {count} numbered files {len(missing)} are missing: {first}.")


def _those(names: Sequence[str]) -> str:
    data = [name for name in names if is_data(name)]
    more = f" and {len(data) - 8} more" if len(data) > 8 else ""
    return f"there are {', '.join(data[:8])}{more}" if data else "it holds no data file at all"
