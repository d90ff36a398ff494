"""As much of the hub as reading a model needs, on this machine.

The code under test is the real one, huggingface_hub's included; only the other end is ours.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from huggingface_hub import constants

COMMIT = "06cd6bf54e" * 4
NAMES = (COMMIT, "main", "v1")  # of the one commit


class ModelHub(ThreadingHTTPServer):
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

    daemon_threads = True

    def __init__(self, repo: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repo = repo
        self.files: dict[str, bytes] = {}
        self.large: dict[str, tuple[int, str]] = {}
        self.answer: Any = {"id": repo, "modelId": repo, "sha": COMMIT}
        self.parts: dict[str, bytes] = {}
        self.pieces: list[tuple[str, int, int]] = []
        self.whole = False
        self.children: Any = []
        self.refuse: tuple[int, str] | None = None
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

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


class _Handler(BaseHTTPRequestHandler):
    server: ModelHub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        path, _, query = self.path.partition("?")
        hub.asked.append(f"{self.command} {unquote(self.path)}")
        name = path.partition(f"/{hub.repo}/resolve/{COMMIT}/")[2]
        if hub.refuse and f"/{hub.repo}" in path:
            self.answer(b'{"error": "<b>no</b>"}', hub.refuse[0], {"X-Error-Code": hub.refuse[1]})
        elif path == "/api/models":
            self.answer(json.dumps(hub.children).encode())
        elif path in (
            f"/api/models/{hub.repo}",
            *(f"/api/models/{hub.repo}/revision/{name}" for name in NAMES),
        ):
            self.answer(json.dumps(hub.described()).encode())
        elif path == f"/api/models/{hub.repo}/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, "size": len(data), "oid": "1" * 40}
                    for name, data in hub.files.items()]  # fmt: skip
            self.answer(json.dumps(tree).encode())
        elif name in hub.parts and self.command == "GET":
            self.answer_part(name, hub.parts[name])
        elif name in hub.files:
            data = hub.files[name]
            etag = hashlib.sha256(data).hexdigest()
            self.answer(data, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})
        else:
            self.answer(b"{}", 404, {"X-Error-Code": "RepoNotFound"})

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

    def answer(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


@contextmanager
def model_hub(repo: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """The hub, running, with an empty cache; nobody is signed in."""
    hub = ModelHub(repo)
    thread = threading.Thread(target=hub.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield hub
    hub.shutdown()
    hub.server_close()
    thread.join()
