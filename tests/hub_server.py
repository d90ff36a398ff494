"""What every small hub of the tests shares: how it answers, and that it is the one that is asked.

The code under test is the real one, huggingface_hub's included; only the other end is ours.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants


class HubServer(ThreadingHTTPServer):
    """A server of this machine, at a free port."""

    daemon_threads = True

    def __init__(self, handler: type[HubHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class HubHandler(BaseHTTPRequestHandler):
    """Answers as the hub does; `do_GET` is the subclass's."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        raise NotImplementedError

    def answer(
        self, data: bytes, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer_json(self, value: Any) -> None:
        self.answer(json.dumps(value).encode())

    def answer_file(self, data: bytes, commit: str) -> None:
        etag = hashlib.sha256(data).hexdigest()
        self.answer(data, 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

    def answer_tree(self, files: Mapping[str, bytes]) -> None:
        self.answer_json([{"type": "file", "path": name, "size": len(data), "oid": "1" * 40}
                          for name, data in files.items()])  # fmt: skip

    def answer_commits(self, *commits: str) -> None:
        self.answer_json([{"id": commit, "authors": [], "date": "2026-01-01T00:00:00.000Z",
                           "title": "x", "message": ""} for commit in commits])  # fmt: skip

    def refuse(self, status: int, code: str, body: bytes = b"{}") -> None:
        self.answer(body, status, {"X-Error-Code": code})

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def empty_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache is an empty one below `folder`; nobody is signed in."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    return folder / "hub"


@contextmanager
def asked(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`server` runs, and is the hub."""
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield
    server.shutdown()
    server.server_close()
    thread.join()
