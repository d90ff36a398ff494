"""What the hub's names mean, asked of a small server that speaks its routes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from formosa import hub
from formosa.errors import DataError, ModelError, UserError
from formosa.hub import Wanted, explained, find_commit
from hub_server import HubHandler, HubServer, asked, empty_cache

COMMIT = "a1b2c3d4e5" * 4
OTHER = "a1b2c3d" + "0" * 33


class _Hub(HubServer):
    """`names`: what it answers for a revision; missing: no such revision."""

    names: dict[str, Any]


class _Handler(HubHandler):
    server: _Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if "/org/" in path:  # and not what the library asks about itself
            self.server.asked.append(path)
        revision = path.partition("/revision/")[2]
        if revision in self.server.names:
            self.answer_json(self.server.names[revision])
        elif "/commits/" in path:
            self.answer_commits(COMMIT, OTHER)
        else:
            self.refuse(404, "RevisionNotFound")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[_Hub]:
    made = _Hub(_Handler)
    made.names = {"main": {"id": "org/name", "sha": COMMIT}}
    empty_cache(tmp_path, monkeypatch)
    with asked(made, monkeypatch):
        yield made


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_a_branch_means_its_commit(server: _Hub, kind: Any) -> None:
    assert find_commit(Wanted("org/name", "main", kind)) == COMMIT
    assert find_commit(Wanted("org/name", kind=kind)) == COMMIT
    assert server.asked == [f"/api/{kind}s/org/name/revision/main"] * 2


def test_a_full_commit_is_not_asked_for(server: _Hub) -> None:
    assert find_commit(Wanted("org/name", OTHER)) == OTHER
    assert server.asked == []


def test_the_first_digits_of_a_commit_are_looked_for_in_the_list(server: _Hub) -> None:
    assert find_commit(Wanted("org/name", COMMIT[:9])) == COMMIT
    assert server.asked[-1] == "/api/models/org/name/commits/main"


def test_a_hub_that_takes_short_commits_is_believed_where_the_answer_fits(server: _Hub) -> None:
    server.names[COMMIT[:8]] = {"id": "org/name", "sha": COMMIT}
    assert find_commit(Wanted("org/name", COMMIT[:8])) == COMMIT
    assert len(server.asked) == 1
    server.names[OTHER[:12]] = {"id": "org/name", "sha": COMMIT}  # of another commit
    assert find_commit(Wanted("org/name", OTHER[:12])) == OTHER


def test_digits_that_several_commits_begin_with_are_refused(server: _Hub) -> None:
    with pytest.raises(ModelError, match="2 commits that begin with a1b2c3d"):
        find_commit(Wanted("org/name", "a1b2c3d"))
    with pytest.raises(DataError, match="no commit that begins with 1234567") as caught:
        find_commit(Wanted("org/name", "1234567", "dataset"))
    assert "in full" in caught.value.hint


def test_a_branch_without_a_commit_is_a_sentence(server: _Hub) -> None:
    server.names["odd"] = {"id": "org/name"}
    with pytest.raises(ModelError, match="names no commit for org/name at odd"):
        find_commit(Wanted("org/name", "odd"))


@pytest.mark.parametrize("answer", [[], {}, {"sha": 1}, "text", {"id": "a/b", "siblings": 3}])
def test_an_answer_that_is_none_is_a_sentence(server: _Hub, answer: Any) -> None:
    server.names["main"] = answer
    wanted = Wanted("org/name", "main")
    with pytest.raises(ModelError), explained(wanted):
        find_commit(wanted)


def test_a_name_that_is_none_is_a_sentence(server: _Hub) -> None:
    wanted = Wanted("org/na--me", "main", "dataset")
    said = "org/na--me at main is no data set on the hub"
    with pytest.raises(DataError, match=said), explained(wanted):
        find_commit(wanted)
    assert server.asked == []


def test_a_hub_that_is_away_is_noticed_at_the_first_try(
    server: _Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would try a listing six times, with 23 seconds of waiting between."""
    waits: list[float] = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", waits.append)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    for revision in ("main", "1234567"):
        wanted = Wanted("org/name", revision, "dataset", "give its files")
        said = "can't be fetched from the hub"
        with pytest.raises(DataError, match=said) as caught, explained(wanted):
            find_commit(wanted)
        assert "give its files" in caught.value.hint
        with pytest.raises(DataError, match="not in the local hub cache"), explained(wanted):
            hub.download(Wanted("org/name", COMMIT, "dataset"), ["*"])
    with pytest.raises(hub.unreachable()):
        hub.reach()
    assert waits == []


def test_what_the_cache_has_of_a_commit_is_served_at_once(
    server: _Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", None)  # nothing waits
    wanted = Wanted("org/name", COMMIT, "dataset")
    snapshot = hub.cached(wanted) / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "a.csv").write_text("1")
    assert hub.download(wanted, ["*.csv"]) == snapshot


def test_offline_nothing_is_asked(server: _Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    wanted = Wanted("org/name")
    with pytest.raises(ModelError, match="not in the local hub cache"), explained(wanted):
        find_commit(wanted)
    with pytest.raises(hub.unreachable()):
        hub.reach()
    assert server.asked == []


def test_our_own_sentences_pass_through() -> None:
    error = UserError("x", "y")
    with pytest.raises(UserError) as caught, explained(Wanted("org/name")):
        raise error
    assert caught.value is error


def test_a_path_in_the_cache_tells_its_commit(tmp_path: Path) -> None:
    assert hub.commit_of(tmp_path / "snapshots" / COMMIT / "x.gguf") == COMMIT
    assert hub.commit_of(tmp_path / "x.gguf") == ""
    assert hub.cached(Wanted("org/name", kind="dataset")).name == "datasets--org--name"
