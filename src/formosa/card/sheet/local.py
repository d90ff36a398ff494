"""The sheet of what is on this machine: a GGUF file, a checkpoint, a run folder, a card.

Weights are not loaded: sizes come from the headers of GGUF and safetensors files, each length of
which is held against the file. The digests are computed, which reads every file once.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from formosa.card.sheet.memory import TOKENS, memory_of, of_config, of_gguf, quantisation_of
from formosa.card.sheet.probe import try_template
from formosa.card.sheet.prose import read_prose
from formosa.card.sheet.reading import card_values
from formosa.card.sheet.values import (
    MOST,
    Architecture,
    Base,
    File,
    Kind,
    Sheet,
    TemplateFeatures,
    clean,
    cleaned,
)
from formosa.card.values import read_card
from formosa.engines.gguf import GgufFile, read_gguf, read_metadata
from formosa.engines.tokenizer_files import read_template
from formosa.errors import CardError, ModelError, UserError
from formosa.files import explain_read_error, sha256_file
from formosa.wheels import Say

CARD = "README.md"
LONGEST_HEADER = 64 << 20  # bytes of a safetensors file's header; real ones have a few megabytes
LONGEST_JSON = 16 << 20  # bytes of a config.json
TEMPLATE = "tokenizer.chat_template"
_LARGE = 1 << 30  # bytes; reading so much is said first
_HUB = re.compile(r"https://huggingface\.co/(?:datasets/)?([\w.-]+/[\w.-]+?)/?")
_QUANTISATION = re.compile(
    r"(?:^|[-._])(I?Q\d(?:_[A-Z\d]+)*|BF16|F16|F32|FP16|MXFP4)(?=[-._]|$)", re.IGNORECASE
)


def quantisation_in(name: str) -> str:
    """What a file's name says of its quantisation, as in `model-Q4_K_M.gguf`; "" for nothing."""
    found = _QUANTISATION.findall(name.rpartition("/")[2].removesuffix(".gguf"))
    return found[-1].upper().replace("FP16", "F16") if found else ""


def read_card_file(path: Path) -> Sheet:
    """The sheet of a card alone.

    Raises:
        CardError: it can't be read.
    """
    card = read_card(path)
    prose = read_prose(card.body)
    return Sheet(
        "card", prose.title or path.name, str(path), prose=prose, **card_values(card, path.parent)
    )


def read_gguf_file(path: Path, say: Say | None = None, source: Kind = "gguf") -> Sheet:
    """The sheet of a GGUF file alone.

    Raises:
        ModelError: it can't be read, is damaged or cut off.
    """
    found = _gguf(path)
    name = found.metadata.get("general.name")
    shape = of_gguf(found)
    file = File(
        path.name,
        found.size,
        _sha256(path, say),
        quantisation=shape.quantisation,
        bits=found.bits,
    )
    return Sheet(
        source,
        clean(name) if isinstance(name, str) and name else path.stem,
        str(path),
        files=(file,),
        architecture=shape,
        template=gguf_template(found, path.name),
        memory=memory_of(shape, [file]),
        metadata=_shown_metadata(found.metadata),
        problems=_part(found.metadata),
        **_gguf_values(found.metadata),
    )


def _part(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence where the file is one of several."""
    count, number = metadata.get("split.count"), metadata.get("split.no", 0)
    if isinstance(count, int) and isinstance(number, int) and count > 1:
        return (f"It is part {number + 1} of {count}: the others' tensors are not counted.",)
    return ()


def read_folder(path: Path, say: Say | None = None) -> Sheet:
    """The sheet of a checkpoint or a run folder, with its card where it has one.

    Raises:
        ModelError: there is no model in it; or a GGUF file of it is damaged.
        UserError: a file can't be read.
    """
    checkpoint = path if (path / "config.json").is_file() else path / "checkpoint"
    source: Kind = "checkpoint" if checkpoint == path else "run"
    ggufs = sorted(path.glob("gguf/*.gguf")) or sorted(path.glob("*.gguf"))
    has_checkpoint = (checkpoint / "config.json").is_file()
    if not ggufs and not has_checkpoint and not (path / CARD).is_file():
        raise ModelError(
            f"{path} holds neither a model nor a card.",
            "name a run folder, a checkpoint, a .gguf file, a README.md, or org/name on the hub",
        )
    sheet = Sheet(source, path.resolve().name, str(path))
    if (path / CARD).is_file():
        sheet = _with_card(sheet, path / CARD)
    files = tuple(_file(file, path, say) for file in _model_files(path, checkpoint, ggufs))
    shape, template = Architecture(), None
    if has_checkpoint:
        tensors = [file for file in sorted(checkpoint.glob("*.safetensors")) if file.is_file()]
        parameters = sum(map(safetensors_parameters, tensors)) or None
        shape = of_config(read_config(checkpoint / "config.json"), parameters)
        template = folder_template(checkpoint)
    weights = files
    if ggufs:
        adapters = {path.name for path in ggufs if _is_adapter(path)}
        weights = tuple(f for f in files if f.name.rpartition("/")[2] not in adapters)
        main = next((path for path in ggufs if path.name not in adapters), ggufs[0])
        found = _gguf(main)
        shape = of_gguf(found)
        template = gguf_template(found, main.name) or template
        values = _gguf_values(found.metadata)
        more = {key: value for key, value in values.items() if not getattr(sheet, key)}
        sheet = replace(sheet, metadata=_shown_metadata(found.metadata), **more)
    return replace(
        sheet,
        files=files,
        architecture=shape,
        template=template,
        memory=memory_of(shape, weights),
    )


def _is_adapter(path: Path) -> bool:
    return read_metadata(path).get("general.type") == "adapter"


def _with_card(sheet: Sheet, path: Path) -> Sheet:
    try:
        card = read_card(path)
    except CardError as error:
        return replace(sheet, problems=(*sheet.problems, clean(error.message)))
    return replace(sheet, prose=read_prose(card.body), **card_values(card, path.parent))


def _model_files(path: Path, checkpoint: Path, ggufs: Sequence[Path]) -> list[Path]:
    own = [file for file in (path / CARD, *ggufs) if file.is_file()]
    of_checkpoint = sorted(checkpoint.glob("*")) if checkpoint.is_dir() else []
    adapter = sorted((checkpoint / "adapter").glob("*.safetensors"))
    logs = sorted((path / "logs").glob("*.jsonl"))
    rest = [f for f in (*of_checkpoint, *adapter, *logs) if f.is_file() and f.name[0] != "."]
    return [*own, *(file for file in rest if file not in own)][:MOST]


def _file(path: Path, root: Path, say: Say | None) -> File:
    kind, bits = "", None
    if path.suffix == ".gguf":
        header = read_gguf(path)
        kind, bits = quantisation_of(header), header.bits
    name = path.relative_to(root).as_posix()
    try:
        digest = _sha256(path, say)
        return File(clean(name), path.stat().st_size, digest, quantisation=kind, bits=bits)
    except OSError as error:
        raise explain_read_error(error, path) from error


def _sha256(path: Path, say: Say | None) -> str:
    try:
        if say and path.stat().st_size > _LARGE:
            say(f"reading {path.name} for its sha256")
        return sha256_file(path)
    except OSError as error:
        raise explain_read_error(error, path) from error


def _gguf(path: Path) -> GgufFile:
    return read_gguf(path, wanted_lists(read_metadata(path).get("general.architecture")))


def wanted_lists(architecture: Any) -> tuple[str, ...]:
    """The lists of a GGUF file's header that a sheet shows."""
    names = ("languages", "tags", "datasets")
    return (f"{architecture}.attention.head_count_kv", *(f"general.{name}" for name in names))


def gguf_template(file: GgufFile, where: str) -> TemplateFeatures | None:
    source = file.metadata.get(TEMPLATE)
    if not isinstance(source, str):
        return None
    return try_template(source, where)


def folder_template(folder: Path) -> TemplateFeatures | None:
    """What the chat template of a checkpoint does; None where it has none."""
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        file = folder / name
        if file.is_file() and file.stat().st_size > LONGEST_JSON:
            return TemplateFeatures(name, "", problem=f"{name} is larger than any")
    try:
        template = read_template(folder)
    except (UserError, AttributeError, RecursionError, UnicodeDecodeError) as error:
        problem = error.message if isinstance(error, UserError) else "its file has another shape"
        return TemplateFeatures("tokenizer_config.json", "", problem=clean(problem, 300))
    if template is None:
        return None
    own = "chat_template.jinja"
    where = own if (folder / own).is_file() else "tokenizer_config.json"
    return try_template(template.source, where, eos=template.stop)


def _gguf_values(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What a GGUF file says of itself, by the names of a Sheet."""

    def text(key: str) -> str:
        value = metadata.get(f"general.{key}")
        return clean(value) if isinstance(value, str) else ""

    def texts(key: str) -> tuple[str, ...]:
        value = metadata.get(f"general.{key}")
        items = value if isinstance(value, list) else []
        return tuple(clean(item) for item in items[:MOST] if isinstance(item, str))

    def sources(key: str) -> tuple[str, ...]:
        count = metadata.get(f"general.{key}.count", 0)
        number = min(count, MOST) if isinstance(count, int) else 0
        found = [
            _hub_id(text(f"{key}.{i}.repo_url")) or text(f"{key}.{i}.name") for i in range(number)
        ]
        return tuple(filter(None, found))

    return {
        "licence": text("license"),
        "licence_name": text("license.name"),
        "licence_link": text("license.link"),
        "languages": texts("languages"),
        "tags": texts("tags"),
        "datasets": sources("dataset") or texts("datasets"),
        "bases": tuple(Base(name) for name in sources("base_model")),
    }


def _hub_id(url: str) -> str:
    match = _HUB.fullmatch(url)
    return match[1] if match else url


def _shown_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Single values; the template and the lists of tokens are not for looking at."""
    values = {k: v for k, v in metadata.items() if k not in (TEMPLATE, TOKENS)}
    return dict(cleaned(dict(list(values.items())[:MOST])))


def read_config(path: Path) -> Mapping[str, Any]:
    """A checkpoint's config.json.

    Raises:
        ModelError: too large, or no JSON object.
    """
    try:
        data = path.read_bytes() if path.stat().st_size <= LONGEST_JSON else b""
        value = json.loads(data)
    except OSError as error:
        raise explain_read_error(error, path) from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON.", "fetch the model again") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path} is no JSON object.", "fetch the model again")
    return value


def safetensors_parameters(path: Path) -> int:
    """The numbers in a safetensors file, by its header.

    Raises:
        ModelError: the header does not fit the file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(LONGEST_HEADER, size - 8):
                raise ValueError("its header is longer than the file")
            header = json.loads(file.read(length))
        shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
        if not all(isinstance(n, int) and 0 <= n < 1 << 40 for shape in shapes for n in shape):
            raise ValueError("a shape is none")
        total = int(sum(math.prod(shape) for shape in shapes))
    except OSError as error:
        raise explain_read_error(error, path) from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ModelError(
            f"{path} is damaged or cut off: its header can't be read.", "fetch the model again"
        ) from error
    if total > size * 8:  # no format has less than a bit for a number
        raise ModelError(f"{path} is damaged or cut off: it has no room for {total} numbers.")
    return total
