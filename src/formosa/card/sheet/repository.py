"""The sheet of a model on the hub: what its API says, its card, and the small files beside it.

No weights are downloaded: sizes and sha256 are those of the hub's large-file storage, and of GGUF
files only the header is read, in pieces. The API's
answer is a server's word: values of another type count as missing, texts are cleaned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from formosa.card.claims import CLAIMS_FILE
from formosa.card.sheet.headers import Headers, read_headers
from formosa.card.sheet.local import (
    CARD,
    LONGEST_JSON,
    folder_template,
    gguf_template,
    quantisation_in,
    read_config,
)
from formosa.card.sheet.memory import memory_of, of_config, of_gguf, quantisation_of
from formosa.card.sheet.probe import try_template
from formosa.card.sheet.prose import read_prose
from formosa.card.sheet.reading import card_values
from formosa.card.sheet.values import (
    MOST,
    Architecture,
    Base,
    Derivative,
    File,
    Sheet,
    TemplateFeatures,
    clean,
)
from formosa.card.values import MAX_CARD, read_card
from formosa.engines.gguf import GgufFile
from formosa.errors import UserError
from formosa.hub import REPO, TIMEOUT, Wanted, api, download_file, endpoint, explained, find_commit
from formosa.wheels import Say

MOST_DERIVATIVES = 200
_NAME = re.compile(rf"(?P<repo>{REPO.pattern})(?:@(?P<revision>[\w.-]+))?")
_PREFIX = "hf:"
_OF_FILES = re.compile(r".+\.(gguf|safetensors|json|jsonl|yaml|md|txt)", re.IGNORECASE)
_FOLDERS = frozenset(
    ("runs", "logs", "data", "models", "checkpoints", "checkpoint", "gguf", "output", "out", "tmp")
)
_BASE = re.compile(r"base_model:(?:(adapter|finetune|merge|quantized):)?([\w.-]+/[\w.-]+)")
_SMALL = (CARD, CLAIMS_FILE, "config.json", "tokenizer_config.json", "chat_template.jinja")


def hub_name(name: str) -> Wanted | None:
    """The repository that `hf:org/name[@revision]` means, or a file in it; None for other texts.

    A bare `org/name` means one too, unless it looks like a path that was mistyped: no name of a
    local file is to reach the hub by accident.
    """
    text = name.removeprefix(_PREFIX)
    if name.startswith(_PREFIX):
        text = re.sub(r"^([^/]+/[^/]+)/.+\.gguf$", r"\1", text)
    match = _NAME.fullmatch(text)
    if not match or not name.startswith(_PREFIX) and _like_a_path(text):
        return None
    return Wanted(match["repo"], match["revision"] or "")


def _like_a_path(text: str) -> bool:
    """By its end, by the folders that runs are kept in, or because its folder is here."""
    if _OF_FILES.fullmatch(text) or text.partition("/")[0] in _FOLDERS:
        return True
    try:
        return Path(text).parent.is_dir()
    except OSError:  # longer than a name can be
        return True


def read_repository(wanted: Wanted, say: Say | None = None) -> Sheet:
    """The sheet of a model of the hub, at one commit.

    Raises:
        ModelError: there is no such model, or the hub can't be reached or refuses.
    """
    if say:
        say(f"asking {endpoint()} for {wanted.repo}")
    with explained(wanted):
        commit = find_commit(wanted) if wanted.revision else None
        info = api().model_info(wanted.repo, revision=commit, files_metadata=True, timeout=TIMEOUT)
        facts = _facts(info)
    at = Wanted(wanted.repo, facts["sha"] or wanted.revision)
    files = tuple(_file(item) for item in (info.siblings or [])[:MOST])
    tags = _texts(info.tags)
    sheet = Sheet(
        "hub",
        wanted.repo,
        f"{endpoint()}/{wanted.repo}",
        revision=facts["sha"],
        files=files,
        hub=facts,
    )
    folder, problems = _small_files(at, files)
    if folder:
        sheet, more = _with_files(sheet, folder)
        problems += more
    if say and any(file.name.endswith(".gguf") for file in files):
        say("reading the headers of its GGUF files")
    headers = read_headers(at, files)
    problems += headers.problems
    files = tuple(_with_header(file, headers.found.get(file.name)) for file in files)
    sheet = _with_main(replace(sheet, files=files), headers)
    found = _relations(tags)
    bases = tuple(replace(b, relation=b.relation or found.get(b.id, "")) for b in sheet.bases)
    known = {base.id for base in bases}
    bases += tuple(Base(id, relation) for id, relation in found.items() if id not in known)
    shape, template = sheet.architecture, sheet.template
    shape, template = _from_api(info, shape, template)
    derivatives, problem = _derivatives(wanted)
    return replace(
        sheet,
        tags=tags or sheet.tags,
        library=_text(info.library_name) or sheet.library,
        pipeline=_text(info.pipeline_tag) or sheet.pipeline,
        bases=bases,
        architecture=shape,
        template=template,
        memory=memory_of(shape, files),
        derivatives=derivatives,
        problems=(*sheet.problems, *problems, *problem),
    )


def _with_header(file: File, header: GgufFile | None) -> File:
    """The file with what its header says; with what its name says, where that was not read."""
    if header is None:
        return replace(file, named=bool(file.quantisation))
    return replace(file, quantisation=quantisation_of(header), bits=header.bits)


def _with_main(sheet: Sheet, headers: Headers) -> Sheet:
    """Network and template of the repository's GGUF file, where it has no checkpoint's."""
    if not (main := headers.main):
        return sheet
    shape = replace(of_gguf(main), parameters=headers.parameters)
    name = next(name for name, file in headers.found.items() if file is main)
    if sheet.architecture.layers:
        shape = replace(sheet.architecture, quantisation=shape.quantisation)
    template = sheet.template or gguf_template(main, clean(name))
    return replace(sheet, architecture=shape, template=template)


def _facts(info: Any) -> dict[str, Any]:
    """The API's answer under its own names."""
    sha, id = _text(info.sha), _text(info.id)
    made, changed = _time(info.created_at), _time(info.last_modified)
    return {
        "_id": _text(getattr(info, "_id", "")),
        "id": id,
        "modelId": _text(getattr(info, "modelId", "")) or id,
        "sha": sha,
        "createdAt": made,
        "lastModified": changed,
        "author": _text(info.author) or id.partition("/")[0],
        "downloads": _number(info.downloads),
        "likes": _number(info.likes),
        "gated": info.gated if isinstance(info.gated, bool | str) else None,
        "private": info.private if isinstance(info.private, bool) else None,
        "pipeline_tag": _text(info.pipeline_tag) or None,
        "library_name": _text(info.library_name) or None,
        "siblings_count": len(info.siblings or []),
        "tags": list(_texts(info.tags)),
    }


def _time(value: Any) -> str | None:
    """As the hub writes it: UTC with milliseconds."""
    if not isinstance(value, datetime):
        return None
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"


def _text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else ""


def _texts(values: Any) -> tuple[str, ...]:
    items = values[:MOST] if isinstance(values, list) else []
    return tuple(clean(item) for item in items if isinstance(item, str))


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _file(item: Any) -> File:
    name = _text(item.rfilename)
    digest = _text(getattr(item.lfs, "sha256", "") if item.lfs else "")
    kind = quantisation_in(name) if name.endswith(".gguf") else ""
    return File(name, _number(item.size), digest, bool(digest), kind)


def _small_files(wanted: Wanted, files: Iterable[File]) -> tuple[Path | None, list[str]]:
    """The folder with the repository's card and settings, fetched; and what could not be."""
    folder, problems = None, []
    sizes = {file.name: file.bytes for file in files}
    for name in _SMALL:
        if name not in sizes:
            continue
        if (sizes[name] or 0) > (MAX_CARD if name == CARD else LONGEST_JSON):
            problems.append(f"{name} has {sizes[name]} bytes and was not fetched.")
            continue
        try:
            with explained(wanted):
                folder = download_file(wanted, name).parent
        except UserError as error:
            problems.append(clean(f"{name} can't be fetched: {error.message}"))
    return folder, problems


def _with_files(sheet: Sheet, folder: Path) -> tuple[Sheet, list[str]]:
    problems: list[str] = []
    if (folder / CARD).is_file():
        try:
            card = read_card(folder / CARD)
            # Its logs are not fetched: nothing is traced, and the sheet says which log is named.
            sheet = replace(sheet, prose=read_prose(card.body), **card_values(card, folder))
        except UserError as error:
            problems.append(clean(error.message))
    if (folder / "config.json").is_file():
        try:
            sheet = replace(sheet, architecture=of_config(read_config(folder / "config.json")))
        except UserError as error:
            problems.append(clean(error.message))
    return replace(sheet, template=folder_template(folder)), problems


def _from_api(
    info: Any, shape: Architecture, template: TemplateFeatures | None
) -> tuple[Architecture, TemplateFeatures | None]:
    """What the hub itself read from GGUF and safetensors files, where our reading has nothing."""
    gguf = info.gguf if isinstance(info.gguf, Mapping) else {}
    total = _number(getattr(info.safetensors, "total", None)) if info.safetensors else None
    shape = replace(
        shape,
        parameters=shape.parameters or total or _number(gguf.get("total")),
        context=shape.context or _number(gguf.get("context_length")),
        name=shape.name or _text(gguf.get("architecture")),
    )
    source = gguf.get("chat_template")
    if template is None and isinstance(source, str):
        template = try_template(
            source, "GGUF", bos=_text(gguf.get("bos_token")), eos=_text(gguf.get("eos_token"))
        )
    return shape, template


def _relations(tags: Iterable[str]) -> dict[str, str]:
    """Base models among the hub's tags, and in which relation."""
    found: dict[str, str] = {}
    for tag in tags:
        if match := _BASE.fullmatch(tag):
            found[match[2]] = match[1] or found.get(match[2], "")
    return found


def _derivatives(wanted: Wanted) -> tuple[tuple[Derivative, ...], tuple[str, ...]]:
    """Models that name this one as their base, most downloaded first."""
    asked = api().list_models(
        filter=f"base_model:{wanted.repo}", sort="downloads", limit=MOST_DERIVATIVES
    )
    try:
        with explained(wanted):
            found = [
                Derivative(
                    _text(item.id),
                    _relations(_texts(item.tags)).get(wanted.repo, ""),
                    _number(item.downloads),
                    _number(item.likes),
                )
                for item in asked
            ]
    except UserError as error:
        return (), (clean(f"Derivatives are not known: {error.message}"),)
    return tuple(found), ()
