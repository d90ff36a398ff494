"""As much of the hub as reading a model needs, on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from hub_server import HubHandler, HubServer, asked, empty_cache

COMMIT = "06cd6bf54e" * 4
NAMES = (COMMIT, "main", "v1")  # of the one commit


class ModelHub(HubServer):
    """One repository.

    Attributes:
        files: its small files, which can be fetched.
        answer: what the API says of it; `siblings` is made of `files` and `large`.
        large: weights, by name: bytes and sha256. They can't be fetched.
        parts: files that can be read in pieces, by name, and never whole.
        pieces: the pieces that were sent: name, first byte, bytes.
        whole: it knows no pieces, and sends whole files.
        children: what a search for models gives.
        refuse: (status, error code) for everything.
    """

    def __init__(self, repo: str) -> None:
        super().__init__(_Handler)
        self.repo = repo
        self.files: dict[str, bytes] = {}
        self.large: dict[str, tuple[int, str]] = {}
        self.answer: Any = {"id": repo, "modelId": repo, "sha": COMMIT}
        self.parts: dict[str, bytes] = {}
        self.pieces: list[tuple[str, int, int]] = []
        self.whole = False
        self.children: Any = []
        self.refuse: tuple[int, str] | None = None

    def described(self) -> Any:
        if not isinstance(self.answer, dict) or "siblings" in self.answer:
            return self.answer
        small = [{"rfilename": name, "size": len(data), "blobId": "1" * 40}
                 for name, data in self.files.items()]  # fmt: skip
        large = [{"rfilename": name, "size": size, "blobId": "2" * 40,
                  "lfs": {"size": size, "sha256": digest, "pointerSize": 135}}
                 for name, (size, digest) in self.weights().items()]  # fmt: skip
        return {**self.answer, "siblings": [*small, *large]}

    def weights(self) -> dict[str, tuple[int, str]]:
        return self.large | {
            name: (len(data), hashlib.sha256(data).hexdigest()) for name, data in self.parts.items()
        }


class _Handler(HubHandler):
    server: ModelHub

    def do_GET(self) -> None:
        hub = self.server
        path = self.path.partition("?")[0]
        hub.asked.append(f"{self.command} {unquote(self.path)}")
        name = path.partition(f"/{hub.repo}/resolve/{COMMIT}/")[2]
        about = f"/api/models/{hub.repo}"
        if hub.refuse and f"/{hub.repo}" in path:
            self.refuse(*hub.refuse, b'{"error": "<b>no</b>"}')
        elif path == "/api/models":
            self.answer_json(hub.children)
        elif path in (about, *(f"{about}/revision/{name}" for name in NAMES)):
            self.answer_json(hub.described())
        elif path == f"{about}/tree/{COMMIT}":
            self.answer_tree(hub.files)
        elif name in hub.parts and self.command == "GET":
            self.answer_part(name, hub.parts[name])
        elif name in hub.files:
            self.answer_file(hub.files[name], COMMIT)
        else:
            self.refuse(404, "RepoNotFound")

    def answer_part(self, name: str, data: bytes) -> None:
        wanted = self.headers.get("Range")
        if self.server.whole or not wanted:
            self.answer(data)
            return
        first, last = map(int, wanted.removeprefix("bytes=").split("-"))
        part = data[first : last + 1]
        self.server.pieces.append((name, first, len(part)))
        place = f"bytes {first}-{first + len(part) - 1}/{len(data)}"
        self.answer(part, 206, {"Content-Range": place})


@contextmanager
def model_hub(repo: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """The hub, running, with an empty cache; nobody is signed in."""
    hub = ModelHub(repo)
    empty_cache(cache, monkeypatch)
    with asked(hub, monkeypatch):
        yield hub
