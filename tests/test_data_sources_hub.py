"""Data sets of the hub: a small server that speaks its routes, and a cache with nobody behind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from formosa.data.formats.detect import open_reader
from formosa.data.sources.config import SourceConfig
from formosa.data.sources.local import FileSource
from formosa.data.sources.named import NAMED, resolve
from formosa.data.sources.opening import open_source
from formosa.errors import DataError
from hub_server import HubHandler, HubServer, asked, empty_cache

REPO = "org/words"
COMMIT = "a1b2c3d4e5" * 4
OLD = "0f" * 20
RESOLVE = f"/datasets/{REPO}/resolve/{COMMIT}/"
CARD = "---\nlicense: mit\n---\n# Words\n"
ROW = {"messages": [{"role": "user", "content": "嗨"}, {"role": "assistant", "content": "你好"}]}
FILES = {
    "README.md": CARD.encode(),
    "train.jsonl": json.dumps(ROW).encode() + b"\n",
    "test.jsonl": b'{"text": "test"}\n',
}


class Hub(HubServer):
    """As much of the hub as reading a data set needs. `refuse` makes it say no."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.files: dict[str, bytes] = dict(FILES)
        self.refuse: tuple[int, str] | None = None


class _Handler(HubHandler):
    server: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(f"{self.command} {path}")
        about = f"/api/datasets/{REPO}"
        name = path.partition(f"/datasets/{REPO}/resolve/{COMMIT}/")[2]
        if self.server.refuse:
            self.refuse(*self.server.refuse, b'{"error": "no"}')
        elif path == f"{about}/revision/gone":
            self.refuse(404, "RevisionNotFound")
        elif path.startswith(f"{about}/revision/"):
            self.answer_json({"id": REPO, "sha": COMMIT})
        elif path.startswith(f"{about}/commits/"):
            self.answer_commits(COMMIT, OLD)
        elif path == f"{about}/tree/{COMMIT}":
            self.answer_tree(self.server.files)
        elif name in self.server.files:
            self.answer_file(self.server.files[name], COMMIT)
        else:
            self.refuse(404, "RepoNotFound")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub's, and one of ours; nobody is signed in."""
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "formosa"))
    return empty_cache(tmp_path, monkeypatch)


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    server = Hub()
    with asked(server, monkeypatch):
        yield server


@pytest.fixture
def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return cache


def fill(cache: Path, repo: str, files: dict[str, bytes], commit: str = COMMIT) -> None:
    """A data set in the hub's cache, as `hf download` leaves it (copies, where it has links)."""
    folder = cache / f"datasets--{repo.replace('/', '--')}"
    for name, data in files.items():
        path = folder / "snapshots" / commit / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "refs").mkdir(exist_ok=True)
    (folder / "refs" / "main").write_text(commit)


def open_set(said: list[str] | None = None, **entry: Any) -> FileSource:
    say = said.append if said is not None else None
    return open_source(SourceConfig.model_validate({"hub": REPO, **entry}), say=say)


def values_of(source: FileSource) -> list[Any]:
    return [record.value for record in source.records()]


# -- from the hub -------------------------------------------------------------------------------


def test_a_branch_is_resolved_and_the_report_has_the_commit(hub: Hub) -> None:
    said: list[str] = []
    source = open_set(said)
    assert values_of(source) == [ROW]
    about = source.about()
    assert (about["hub"], about["revision"], about["asked_revision"]) == (REPO, COMMIT, "main")
    assert about["licence"] == "mit"
    assert about["files"][0]["sha256"] == hashlib.sha256(FILES["train.jsonl"]).hexdigest()
    assert [record.where for record in source.records()] == [f"{REPO}/train.jsonl:1"]
    assert said == [f"fetching 1 files (0.0 MB) of {REPO} at {COMMIT[:12]}"]


def test_only_the_files_of_the_split_are_fetched(hub: Hub) -> None:
    open_set(split="test")
    fetched = {line.rpartition("/")[2] for line in hub.asked if line.startswith("GET /datasets")}
    assert fetched == {"README.md", "test.jsonl"}


def test_at_a_full_commit_a_second_reading_asks_nothing(hub: Hub) -> None:
    values_of(open_set(revision=COMMIT))
    assert f"GET /api/datasets/{REPO}/revision/{COMMIT}" not in hub.asked
    hub.asked.clear()
    assert values_of(open_set(revision=COMMIT)) == [ROW]
    assert hub.asked == []


def test_a_shortened_commit_is_looked_up(hub: Hub) -> None:
    assert open_set(revision=COMMIT[:8]).about()["revision"] == COMMIT


@pytest.mark.parametrize(
    ("refuse", "revision", "said", "hint"),
    [
        ((403, "GatedRepo"), "main", "is gated", "hf auth login"),
        ((401, "RepoNotFound"), "main", "no data set org/words", "check the name"),
        ((404, "RepoNotFound"), "main", "no data set org/words", "check the name"),
        (None, "gone", "has no revision gone", "/commits/main"),
        ((400, "Odd"), "main", "The hub refused", "look at http"),
        (None, "1234567", "no commit that begins with 1234567", "in full"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_try(
    hub: Hub, refuse: tuple[int, str] | None, revision: str, said: str, hint: str
) -> None:
    hub.refuse = refuse
    with pytest.raises(DataError, match=said) as caught:
        open_set(revision=revision)
    assert hint in caught.value.hint


def test_a_commit_that_another_repository_has_is_no_crash(hub: Hub) -> None:
    with pytest.raises(DataError):
        open_set(revision=OLD)


def test_the_recipe_s_licence_wins_and_a_difference_is_said(hub: Hub) -> None:
    said: list[str] = []
    assert open_set(said, licence="Apache-2.0").licence == "Apache-2.0"
    assert "its card says mit; the recipe's licence, Apache-2.0" in said[0]
    said.clear()
    open_set(said, licence="MIT")
    assert said == []


def test_no_licence_at_all_is_an_error(hub: Hub) -> None:
    hub.files["README.md"] = b"# Words"
    with pytest.raises(DataError, match="names no licence") as caught:
        open_set()
    assert "licence" in caught.value.hint
    assert open_set(licence="CC0-1.0").licence == "CC0-1.0"


def test_a_set_without_a_card_needs_the_recipe_s_licence(hub: Hub) -> None:
    del hub.files["README.md"]
    assert open_set(licence="CC0-1.0").about()["card_licence"] == ""


def test_a_split_that_is_not_there_names_the_data_set(hub: Hub) -> None:
    with pytest.raises(DataError, match="org/words: There is no split 'dev'") as caught:
        open_set(split="dev")
    assert "train, test" in caught.value.hint


def test_a_damaged_list_of_files_is_asked_again(hub: Hub, tmp_path: Path) -> None:
    open_set()
    (kept,) = (tmp_path / "formosa").rglob("*.json")
    kept.write_text("[1")
    assert values_of(open_set()) == [ROW]


# -- without a network --------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["main", COMMIT, COMMIT[:9]])
def test_the_cache_serves_what_it_has(offline: Path, revision: str) -> None:
    fill(offline, REPO, FILES)
    source = open_set(revision=revision)
    assert values_of(source) == [ROW]
    assert source.about()["revision"] == COMMIT


def test_what_was_fetched_is_read_again_without_a_network(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_set()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert values_of(open_set()) == [ROW]


@pytest.mark.parametrize("revision", ["main", COMMIT])
def test_what_the_cache_lacks_is_said_with_the_command(offline: Path, revision: str) -> None:
    with pytest.raises(DataError, match="not in the local cache") as caught:
        open_set(revision=revision)
    assert f"hf download {REPO} --repo-type dataset --revision {revision}" in caught.value.hint


def test_another_split_than_the_cached_one_is_not_there(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_set()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="local cache|not whole in the cache"):
        open_set(split="test")


def test_half_of_a_numbered_set_in_the_cache_is_refused(offline: Path) -> None:
    """Without the list of files only the numbers tell that something is missing."""
    fill(offline, REPO, {"README.md": CARD.encode(), "data/train-00000-of-00002.jsonl": b"{}\n"})
    with pytest.raises(DataError, match="numbered files 1 are missing"):
        open_set()


@pytest.mark.parametrize("name", ["words", "no name at all", "a/b/c", "../x"])
def test_what_is_no_data_set_s_name_is_refused(offline: Path, name: str) -> None:
    with pytest.raises(DataError, match="is no data set on the hub") as caught:
        open_set(hub=name)
    assert "tw-reasoning-instruct" in caught.value.hint


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a b", "a/../b"])
def test_what_is_no_revision_is_refused_before_any_path_is_made(
    offline: Path, revision: str
) -> None:
    with pytest.raises(DataError, match="is no revision"):
        open_set(revision=revision)


def test_names_that_lead_out_of_the_data_set_are_not_followed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "secret.jsonl").write_text("{}")
    hub.files["../../../../secret.jsonl"] = b"{}"
    with pytest.raises(DataError, match=r"No file is like \*secret\*"):
        open_set(files=("*secret*",))


# -- sets that are known by name ----------------------------------------------------------------


def test_the_three_sets_of_the_f1_cards_are_known_by_name() -> None:
    wanted = {
        "tw-reasoning-instruct": "lianghsun/tw-reasoning-instruct",
        "tw-instruct-r1-200k": "minyichen/tw-instruct-R1-200k",
        "tw-mm-r1": "minyichen/tw_mm_R1",
    }
    assert {name: resolve(SourceConfig(hub=name)).hub for name in wanted} == wanted


@pytest.mark.parametrize("name", list(NAMED))
def test_a_known_set_s_settings_fit_the_schema(name: str) -> None:
    config = resolve(SourceConfig(hub=name))
    assert SourceConfig.model_validate({**config.model_dump(exclude={"path"})}).source == name
    assert resolve(SourceConfig(hub=NAMED[name].repo)).format == config.format


def test_what_the_recipe_sets_itself_is_never_changed() -> None:
    given = SourceConfig(hub="tw-reasoning-instruct", format="alpaca", ignore=("conversations",))
    config = resolve(given)
    assert (config.format, config.ignore) == ("alpaca", ("conversations",))
    assert config.scores == ("format_score",)


def test_a_recipe_with_its_defaults_written_out_keeps_a_known_set_s_settings() -> None:
    """A run's copy of its recipe has them all, and is read again."""
    config = SourceConfig(hub="tw-reasoning-instruct")
    assert resolve(SourceConfig.model_validate(config.model_dump())) == resolve(config)


REASONED = {
    "conversations": [
        {"from": "human", "value": "一加一？"},
        {"from": "gpt", "value": "<think>\n很簡單。\n</think>\n\n二。"},
    ],
    "input": "一加一？",
    "output": "二。",
    "think": "很簡單。",
    "converted_text": "",
    "is_different": False,
    "format_score": 0.95,
    "oss_system_prompt": "Reasoning: high",
}


def test_a_known_set_is_read_with_its_settings_and_they_are_said(offline: Path) -> None:
    """The columns are those of the public card; the row is ours."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    fill(offline, "lianghsun/tw-reasoning-instruct", {"README.md": CARD.encode()})
    data = offline / f"datasets--lianghsun--tw-reasoning-instruct/snapshots/{COMMIT}/data"
    data.mkdir()
    pq.write_table(pa.Table.from_pylist([REASONED]), data / "train-00000-of-00001.parquet")
    said: list[str] = []
    source = open_set(said, hub="tw-reasoning-instruct")
    reader = open_reader(source, said.append)
    (record,) = source.records()
    ((_, draft),) = reader.rows(record)
    assert not isinstance(draft, DataError)
    assert [message.reasoning for message in draft.messages] == ["", "很簡單。"]
    assert draft.messages[1].content == "二。"
    assert draft.scores == {"format_score": 0.95}
    assert "known here: format sharegpt, ignore input output" in said[0]
    assert source.about()["split"] == "train"


def test_a_column_that_no_card_named_is_refused_with_the_key_that_takes_it(offline: Path) -> None:
    """What is known of a set may be out of date: nothing is dropped in silence."""
    row = {**REASONED, "new_column": "x"}
    files = {"README.md": CARD.encode(), "train.jsonl": json.dumps(row).encode()}
    fill(offline, "lianghsun/tw-reasoning-instruct", files)
    with pytest.raises(DataError, match="does not read new_column") as caught:
        open_reader(open_set(hub="tw-reasoning-instruct"))
    assert "ignore: [new_column]" in caught.value.hint


HERMES = (
    "You are a function calling AI model. You are provided with function signatures within <tools> "
    "</tools> XML tags. You may call one or more functions.\n<tools>\n[{tool}]\n</tools>\n"
    "Each call is enclosed within <tool_call> </tool_call> XML tags."
)


def test_the_function_calling_set_of_twinkle_ai_is_read(offline: Path) -> None:
    """Its tools are in xLAM's short form, in a column and in the system message."""
    tool = '{"name": "f", "description": "d", "parameters": {"n": {"type": "int", "default": 1}}}'
    row = {
        "id": 3,
        "query": "Call f",
        "tools": f"[{tool}]",
        "query_zhtw": "呼叫 f",
        "think": "想一想",
        "answer": '[{"name": "f", "arguments": {"n": 2}}]',
        "messages": [
            {"role": "system", "content": HERMES.replace("{tool}", tool)},
            {"role": "user", "content": "呼叫 f"},
            {
                "role": "assistant",
                "content": "<think>\n想一想\n</think>\n\n<tool_call>\n"
                '{"name": "f", "arguments": {"n": 2}}\n</tool_call>',
            },
        ],
    }
    files = {"README.md": CARD.encode(), "train.jsonl": json.dumps(row).encode()}
    fill(offline, "twinkle-ai/tw-function-call-reasoning-10k", files)
    source = open_set(hub="tw-function-call-reasoning-10k")
    reader = open_reader(source)
    (record,) = source.records()
    ((_, draft),) = reader.rows(record)
    assert not isinstance(draft, DataError)
    user, reply = draft.messages
    assert (user.role, user.content) == ("user", "呼叫 f")
    assert (reply.reasoning, reply.content) == ("想一想", "")
    assert (reply.tool_calls[0].name, reply.tool_calls[0].arguments) == ("f", '{"n": 2}')
    assert draft.tools[0].schema()["properties"] == {"n": {"type": "integer", "default": 1}}
    assert draft.id == "3"
