"""The Chinese fork's files: shapes of v1 as those of v4, and what is fetched from where."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from formosa.chat.message import Message
from formosa.errors import DataError, ModelError
from formosa.evals.bfcl import zhtw
from formosa.evals.bfcl.checker import check
from formosa.evals.bfcl.task import load
from formosa.evals.bfcl.zhtw import CATEGORIES, COMMIT, load_zhtw


def doc(name: str) -> dict[str, Any]:
    properties = {"city": {"type": "string", "description": "Where."}}
    parameters = {"type": "dict", "properties": properties, "required": ["city"]}
    return {"name": name, "description": "Weather.", "parameters": parameters}


def write(folder: Path, stem: str, questions: list[Any], answers: list[Any] | None) -> Path:
    name = f"gorilla_openfunctions_v1_test_{stem}.json"
    (folder / "possible_answer").mkdir(parents=True, exist_ok=True)
    for path, rows in ((folder / name, questions), (folder / "possible_answer" / name, answers)):
        if rows is not None:
            lines = [json.dumps(row, ensure_ascii=False) for row in rows]
            path.write_text("\n".join(lines), encoding="utf-8")
    return folder


def question(number: int, function: Any, stem: str = "parallel_function") -> dict[str, Any]:
    return {"id": f"{stem}_{number}", "question": "查台北和高雄的天氣。", "function": function}


def test_shapes_of_v1_become_those_of_v4(tmp_path: Path) -> None:
    truth = {"weather.get_1": {"city": ["Taipei", "台北"]}, "weather.get 2": {"city": ["高雄"]}}
    write(
        tmp_path,
        "parallel_function",
        [question(7, doc("weather.get"))],
        [{"id": "parallel_function_7", "ground_truth": truth}],
    )
    [item] = load_zhtw("parallel", data_dir=tmp_path).items
    assert (item.id, item.category) == ("parallel_7", "parallel")
    assert item.messages == (Message("user", "查台北和高雄的天氣。"),)
    assert item.functions == (doc("weather.get"),)
    assert item.answers == (
        {"weather.get": {"city": ["Taipei", "台北"]}},
        {"weather.get": {"city": ["高雄"]}},
    )
    calls = [{"weather_get": {"city": city}} for city in ("高雄", "台北")]
    verdict = check(item.functions, calls, item.answers, item.category, dots_replaced=True)
    assert verdict.ok


@pytest.mark.parametrize(
    ("key", "names", "name"),
    [
        ("f", ["f"], "f"),
        ("f_2", ["f"], "f"),
        ("f 2", ["f"], "f"),
        ("f_2", ["f", "f_2"], "f_2"),
        ("get_f_1", ["f", "get_f"], "get_f"),
        ("f_two", ["f"], "f"),  # the rule of v1: a part of the key
        ("deck", ["shuffle"], "deck"),
    ],
)
def test_numbers_behind_names_are_taken_off(
    tmp_path: Path, key: str, names: list[str], name: str
) -> None:
    write(
        tmp_path,
        "parallel_function",
        [question(0, [doc(one) for one in names])],
        [{"id": "parallel_function_0", "ground_truth": {key: {"city": ["x"]}}}],
    )
    [item] = load_zhtw("parallel", data_dir=tmp_path).items
    assert list(item.answers[0]) == [name]


def test_irrelevance_is_called_relevance_there_and_has_no_answers(tmp_path: Path) -> None:
    write(tmp_path, "relevance", [question(3, doc("f"), "relevance")], None)
    [item] = load_zhtw("irrelevance", data_dir=tmp_path).items
    assert (item.id, item.category, item.answers) == ("irrelevance_3", "irrelevance", ())


def test_ids_are_those_of_the_english_items(tmp_path: Path) -> None:
    """So that one model can be compared with itself between the two languages."""
    truth = [{"id": "simple_5", "ground_truth": {"f": {"city": ["x"]}}}]
    write(tmp_path, "simple", [question(5, doc("f"), "simple")], truth)
    task = load("bfcl-zhtw-simple", data_dir=tmp_path)
    assert [sample.id for sample in task.samples] == ["simple_python_5"]
    assert (task.language, task.decoder) == ("zh-TW", "tool-calls/1")
    assert task.source == "own files in the format of v1"


def test_the_folder_of_a_clone_will_do(tmp_path: Path) -> None:
    write(tmp_path, "relevance", [question(3, doc("f"), "relevance")], None)
    (tmp_path / "zhtw").mkdir()
    name = "gorilla_openfunctions_v1_test_relevance.json"
    (tmp_path / name).rename(tmp_path / "zhtw" / name)
    assert len(load_zhtw("irrelevance", data_dir=tmp_path).items) == 1


@pytest.mark.parametrize(
    ("row", "truth", "said"),
    [
        ({"question": [["?"]]}, {"f": {}}, ":1: the question must be a text"),
        ({"function": "f"}, {"f": {}}, ":1: function must be an object or a list"),
        ({}, {}, "parallel_function_0 has no accepted answer"),
        ({}, [{"f": {}}], "parallel_function_0 has no accepted answer"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, row: dict[str, Any], truth: Any, said: str) -> None:
    answers = [{"id": "parallel_function_0", "ground_truth": truth}]
    write(tmp_path, "parallel_function", [question(0, doc("f")) | row], answers)
    with pytest.raises(DataError) as caught:
        load_zhtw("parallel", data_dir=tmp_path)
    assert said in caught.value.message


def test_unknown_categories_missing_files_and_revisions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="in Chinese"):
        load_zhtw("simple_java")
    with pytest.raises(DataError, match=r"v1_test_simple\.json does not exist"):
        load_zhtw("simple_python", data_dir=tmp_path)
    with pytest.raises(DataError, match="pinned"):
        load("bfcl-zhtw-simple", revision="main")


def serve(monkeypatch: pytest.MonkeyPatch, answer: Any) -> list[str]:
    asked: list[str] = []

    def get(url: str, **_: Any) -> httpx2.Response:
        asked.append(url)
        response: httpx2.Response = answer(httpx2.Request("GET", url))
        return response

    monkeypatch.setattr(httpx2, "get", get)
    return asked


def test_files_are_fetched_once_from_the_pinned_commit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path))
    body = json.dumps(question(3, doc("f"), "relevance")).encode()
    pinned = zhtw._File("relevance", hashlib.sha256(body).hexdigest(), None)
    monkeypatch.setattr(zhtw, "_FILES", {"irrelevance": pinned})
    asked = serve(monkeypatch, lambda request: httpx2.Response(200, content=body, request=request))
    said: list[str] = []
    for _ in range(2):
        data = load_zhtw("irrelevance", say=said.append)
        assert data.source.endswith(f"zhtw@{COMMIT[:7]}")
    [url] = asked
    assert f"/{COMMIT}/data/zhtw/gorilla_openfunctions_v1_test_relevance.json" in url
    assert said == [f"downloading {url}"]


def test_other_bytes_are_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path))
    serve(monkeypatch, lambda request: httpx2.Response(200, content=b"{}", request=request))
    with pytest.raises(ModelError, match="sha256"):
        load_zhtw("irrelevance")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_server_that_refuses_is_an_error_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path))
    serve(monkeypatch, lambda request: httpx2.Response(404, request=request))
    with pytest.raises(ModelError, match="cannot be fetched") as caught:
        load_zhtw("irrelevance")
    assert "--data-dir" in caught.value.hint


def test_every_file_is_pinned() -> None:
    hashes = [one for file in zhtw._FILES.values() for one in file[1:] if one]
    assert len(hashes) == len(set(hashes)) == 2 * len(CATEGORIES) - 1
    assert all(len(one) == 64 for one in hashes)
