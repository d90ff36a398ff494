"""How an MCP server is named: on a command line, as a URL, in a file of other clients."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from formosa.errors import UserError
from formosa.tools.mcp_servers import McpServer, read_servers, servers_from_file


def one(text: str) -> McpServer:
    (server,) = read_servers(text)
    return server


def test_a_command_is_cut_like_a_shell_does_and_no_shell_runs_it() -> None:
    assert one("npx -y server '/my files' $HOME").command == (
        *("npx", "-y", "server", "/my files", "$HOME"),
    )


def test_a_url_is_a_server_on_the_web() -> None:
    assert one("https://example.com/mcp") == McpServer(url="https://example.com/mcp")


def test_a_name_may_stand_before_both() -> None:
    assert one("files=npx server") == McpServer(("npx", "server"), name="files")
    assert one("web=http://h/mcp?a=b") == McpServer(url="http://h/mcp?a=b", name="web")
    assert one("server --key=1").name == ""


@pytest.mark.parametrize(
    ("server", "label"),
    [
        (McpServer(("npx", "-y", "server", "--key=s3cret")), "npx server"),
        (McpServer(url="https://me:s3cret@example.com/mcp?key=s3cret"), "https://example.com/mcp"),
        (McpServer(("npx",), name="files"), "files"),
    ],
)
def test_what_a_server_is_called_tells_no_key(server: McpServer, label: str) -> None:
    assert server.label == label


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "needs a command"), ("'open", "No closing quotation"), ("  ", "needs a command")],
)
def test_a_text_that_names_nothing_is_a_sentence(text: str, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        read_servers(text)


def test_a_server_is_a_command_or_a_url() -> None:
    for values in ({}, {"command": ("x",), "url": "http://x"}):
        with pytest.raises(UserError, match="either a command or a URL"):
            McpServer(**values)  # type: ignore[arg-type]


def written(folder: Path, value: Any) -> Path:
    path = folder / "servers.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def test_the_file_of_other_clients_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys come from the environment, so the file can be shared."""
    monkeypatch.setenv("WEATHER_KEY", "s3cret")
    path = written(
        tmp_path,
        {
            "mcpServers": {
                "weather": {
                    "command": "python",
                    "args": ["w.py", "${MODE:-fast}"],
                    "env": {"KEY": "${WEATHER_KEY}"},
                    "cwd": "/srv",
                },
                "web": {
                    "type": "http",
                    "url": "https://example.com/mcp",
                    "headers": {"Authorization": "Bearer ${WEATHER_KEY}"},
                },
                "off": {"command": "x", "disabled": True},
            }
        },
    )
    weather, web = read_servers(str(path))
    assert weather == McpServer(
        ("python", "w.py", "fast"), name="weather", env={"KEY": "s3cret"}, cwd=Path("/srv")
    )
    assert web.headers == {"Authorization": "Bearer s3cret"}
    assert "s3cret" not in repr([weather, web])


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "names no MCP server"),
        ([], "names no MCP server"),
        ({"mcpServers": {"a": 3}}, "a: must be an object"),
        ({"mcpServers": {"a": {}}}, "a: An MCP server is either a command or a URL"),
        ({"mcpServers": {"a": {"command": "x", "args": "y"}}}, "a: args must be a list"),
        ({"mcpServers": {"a": {"command": "x", "args": [3]}}}, "a: command must be text"),
        ({"mcpServers": {"a": {"command": "x", "env": {"K": 1}}}}, r"a: env\.K must be text"),
        ({"mcpServers": {"a": {"command": "${NOT_SET}"}}}, r"a: command: \$\{NOT_SET\} is not set"),
        ({"mcpServers": {"a": {"type": "sse", "url": "http://x"}}}, "old SSE transport"),
    ],
)
def test_a_file_that_does_not_fit_names_the_server(
    tmp_path: Path, value: Any, problem: str
) -> None:
    with pytest.raises(UserError, match=problem):
        servers_from_file(written(tmp_path, value))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_servers(str(tmp_path / "none.json"))
