"""TMMLU+, MMLU, tw-legal and your own files: from a pretended hub, and from folders."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from formosa.errors import DataError
from formosa.evals import choice_files, mmlu, tmmluplus, tw_legal
from formosa.evals.hub import fetch

HEADER = "question,A,B,C,D,answer\n"
LAW = HEADER + "成年是幾歲？,十六,十七,十八,二十,C\n誰審判？,法官,律師,記者,店員,A\n"
ART = HEADER + "誰畫了清明上河圖？,張擇端,范寬,郭熙,李唐,A\n"
FULL = "66c3a5f" + "0" * 33


class Hub:
    """What is on the hub: files, and the commits of the data set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commits = [FULL, "1" * 40]
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def put(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text, "utf-8")

    def snapshot_download(self, repo: str, **options: Any) -> str:
        assert options.pop("local_files_only") is False
        self.asked.append({"repo": repo, **options})
        if self.error:
            raise self.error
        here = self.root.with_name("snapshot")
        for path in sorted(self.root.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            if path.is_file() and any(
                fnmatch.fnmatch(name, pattern) for pattern in options["allow_patterns"]
            ):
                (here / name).parent.mkdir(parents=True, exist_ok=True)
                (here / name).write_bytes(path.read_bytes())
        return str(here)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    made = Hub(tmp_path / "hub")

    class Api:
        def __init__(self, endpoint: str) -> None:
            pass

        def list_repo_commits(self, repo: str, *, repo_type: str) -> list[SimpleNamespace]:
            assert repo_type == "dataset"
            return [SimpleNamespace(commit_id=commit) for commit in made.commits]

        def dataset_info(self, repo: str, *, revision: str, timeout: float) -> SimpleNamespace:
            return SimpleNamespace(sha="2" * 40 if revision == "main" else None)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", made.snapshot_download)
    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr("formosa.hub.reach", lambda: None)
    return made


def test_tmmluplus_is_fetched_at_the_cards_commit(hub: Hub) -> None:
    hub.put("data/law_test.csv", LAW)
    hub.put("data/art_test.csv", ART)
    hub.put("data/law_dev.csv", LAW)
    said: list[str] = []
    task = tmmluplus.load("tmmluplus", say=said.append)
    assert hub.asked == [
        {
            "repo": "ikala/tmmluplus",
            "repo_type": "dataset",
            "revision": "c0e8ae955997300d5dbf0e382bf0ba5115f85e8c",
            "allow_patterns": ["*_test.csv"],
        }
    ]
    assert [sample.id for sample in task.samples] == ["art/1", "law/1", "law/2"]
    assert task.revision == "c0e8ae955997300d5dbf0e382bf0ba5115f85e8c"
    assert task.source == "https://huggingface.co/datasets/ikala/tmmluplus"
    assert (task.licence, task.language) == ("MIT", "zh-TW")
    assert said == ["fetching ikala/tmmluplus at c0e8ae955997 from the hub"]


def test_a_short_revision_is_resolved_and_the_whole_commit_recorded(hub: Hub) -> None:
    hub.put("train.csv", LAW)
    task = tw_legal.load("tw-legal")
    assert hub.asked[0]["revision"] == FULL
    assert task.revision == FULL
    assert len(task.samples) == 2


def test_a_branch_is_resolved_too(hub: Hub) -> None:
    hub.put("train.csv", LAW)
    assert tw_legal.load("tw-legal", revision="main").revision == "2" * 40
    with pytest.raises(DataError, match="names no commit"):
        tw_legal.load("tw-legal", revision="other")


def test_a_short_revision_must_name_one_commit(hub: Hub) -> None:
    hub.commits = ["3" * 40]
    with pytest.raises(DataError, match="no commit that begins with 66c3a5f"):
        tw_legal.load("tw-legal")
    hub.commits = [FULL, FULL[:-1] + "1"]
    with pytest.raises(DataError, match="2 commits that begin"):
        tw_legal.load("tw-legal")


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (LocalEntryNotFoundError("offline"), "hub can't be reached"),
        (OSError("no space"), "can't be fetched from the hub: no space"),
        (ValueError("bad name"), "is no data set on the hub: bad name"),
    ],
)
def test_what_the_hub_says_becomes_a_sentence(hub: Hub, error: Exception, problem: str) -> None:
    hub.error = error
    with pytest.raises(DataError, match=problem):
        fetch("a/b", ["*"], "4" * 40)


def test_a_gated_set_says_what_to_do(hub: Hub) -> None:
    import httpx2
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError

    for kind in (HfHubHTTPError, GatedRepoError):
        response: Any = httpx2.Response(403, request=httpx2.Request("GET", "http://hub"))
        hub.error = kind("403 Client Error", response=response)
        with pytest.raises(
            DataError, match=f"refused the data set a/b .*{kind.__name__}"
        ) as caught:
            fetch("a/b", ["*"], "4" * 40)
        assert "HF_TOKEN" in caught.value.hint
        assert "403" not in caught.value.message  # nor anything else that a server wrote


@pytest.mark.parametrize("module", [tmmluplus, tw_legal])
def test_a_hub_that_is_down_is_a_sentence(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the hub's real client, whose errors are not those of ours."""
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError, match="can't be") as caught:
        module.load(module.NAME)
    assert "--data-dir" in caught.value.hint


def test_the_hub_without_fitting_files(hub: Hub) -> None:
    hub.put("README.md", "nothing")
    (hub.root.with_name("snapshot")).mkdir()
    with pytest.raises(DataError, match="holds no table"):
        tmmluplus.load("tmmluplus")


def test_mmlu_from_the_hub_has_subjects_in_a_column(hub: Hub) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rows = [
        {"question": "2 + 2?", "subject": s, "choices": ["1", "2", "3", "4"], "answer": 3}
        for s in ("algebra", "logic", "algebra")
    ]
    (hub.root / "all").mkdir(parents=True)
    parquet.write_table(
        pyarrow.Table.from_pylist(rows), hub.root / "all" / "test-00000-of-00001.parquet"
    )
    task = mmlu.load("mmlu")
    assert [sample.id for sample in task.samples] == ["algebra/1", "algebra/2", "logic/1"]
    assert task.samples[0].content.options[task.samples[0].content.right] == "4"
    assert "A, B, C, and D" in task.ask(task.samples[0], 0, 0).messages[0].content


def test_mmlus_csv_files_have_no_line_with_names(tmp_path: Path) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "dev").mkdir()
    (tmp_path / "test" / "algebra_test.csv").write_text('"2, 2",1,2,3,4,D\n1?,a,b,c,d,A\n')
    (tmp_path / "dev" / "algebra_dev.csv").write_text("dev,1,2,3,4,D\n")
    task = mmlu.load("mmlu", data_dir=tmp_path)
    assert [sample.content.question for sample in task.samples] == ["2, 2", "1?"]
    assert task.samples[0].subject == "algebra"
    assert task.revision.startswith("sha256:")
    assert task.source == "cais/mmlu, from files"


def test_an_mmlu_file_with_names_is_read_by_them(tmp_path: Path) -> None:
    (tmp_path / "law_test.csv").write_text("id,question,A,B,answer\nx,question,1,2,B\n")
    task = mmlu.load("mmlu", data_dir=tmp_path)
    assert [sample.id for sample in task.samples] == ["law/x"]


def test_mmlus_twinkle_variant_asks_in_chinese_as_the_cards_did(tmp_path: Path) -> None:
    (tmp_path / "algebra_test.csv").write_text("1?,a,b,c,d,A\n")
    task = mmlu.load("mmlu-twinkle-box", data_dir=tmp_path)
    assert task.ask(task.samples[0], 0, 0).messages[0].content.startswith("使用者將提供一個題目")


@pytest.mark.parametrize("module", [tmmluplus, mmlu, tw_legal])
def test_every_set_comes_in_four_variants_with_one_revision(module: Any, tmp_path: Path) -> None:
    (tmp_path / "law_test.csv").write_text(LAW, "utf-8")
    assert len(module.TASKS) == 4
    tasks = [module.load(name, data_dir=tmp_path) for name in module.TASKS]
    assert [task.name for task in tasks] == list(module.TASKS)
    assert len({task.revision for task in tasks}) == 1
    with pytest.raises(DataError, match="no task called"):
        module.load(module.NAME + "-other", data_dir=tmp_path)


def test_a_folder_has_no_revision_of_the_hub(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave one|have none"):
        tmmluplus.load("tmmluplus", data_dir=tmp_path, revision="main")


def test_what_looks_wrong_in_a_published_set_is_said(tmp_path: Path) -> None:
    (tmp_path / "law_test.csv").write_text(HEADER + "?,同,同,丙,丁,A\n", "utf-8")
    said: list[str] = []
    task = tmmluplus.load("tmmluplus", data_dir=tmp_path, say=said.append)
    assert len(task.samples) == 1
    assert "equal texts" in said[0]


def test_own_files_are_a_task(tmp_path: Path) -> None:
    (tmp_path / "law.csv").write_text(LAW, "utf-8")
    task = choice_files.load(f"file:{tmp_path}/law.csv")
    assert task.name == f"file:{tmp_path}/law.csv"
    assert (len(task.samples), task.language) == (2, "zh-TW")
    assert "使用者" in task.ask(task.samples[0], 0, 0).messages[0].content
    assert task.revision == choice_files.load("file:law.csv", data_dir=tmp_path).revision


def test_several_own_files_are_subjects(tmp_path: Path) -> None:
    (tmp_path / "law.csv").write_text(LAW, "utf-8")
    row = {"question": "Who painted it?", "choices": ["Li", "Wu", "Fan"], "answer": "B"}
    (tmp_path / "art.jsonl").write_text(json.dumps(row), "utf-8")
    task = choice_files.load(f"file:{tmp_path}")
    assert [sample.id for sample in task.samples] == ["art/1", "law/1", "law/2"]


@pytest.mark.parametrize("prefix", choice_files.PREFIX)
def test_own_files_come_in_every_variant(prefix: str, tmp_path: Path) -> None:
    (tmp_path / "law.csv").write_text(LAW, "utf-8")
    task = choice_files.load(f"{prefix}law.csv", data_dir=tmp_path)
    assert task.name == f"{prefix}law.csv"


def test_english_files_are_asked_in_english(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("question,A,B,answer\n1 + 1?,2,3,A\n")
    task = choice_files.load("file:t.csv", data_dir=tmp_path)
    assert task.language == "en"
    assert "A and B" in task.ask(task.samples[0], 0, 0).messages[0].content


@pytest.mark.parametrize(
    ("load", "problem"),
    [
        (lambda d: choice_files.load("file:", data_dir=d), "names no file"),
        (lambda d: choice_files.load("law.csv", data_dir=d), "names no file"),
        (lambda d: choice_files.load("file-x:law.csv", data_dir=d), "names no file"),
        (lambda d: choice_files.load("file:none.csv", data_dir=d), "does not exist"),
        (lambda d: choice_files.load("file:law.csv", data_dir=d, revision="x"), "no --revision"),
        (lambda d: choice_files.load("file:two.csv", data_dir=d), "two options are"),
        (lambda d: choice_files.load("file-twinkle-box:three.csv", data_dir=d), "has 3 options"),
    ],
)
def test_what_is_wrong_with_own_files_is_said(
    load: Callable[[Path], Any], problem: str, tmp_path: Path
) -> None:
    (tmp_path / "law.csv").write_text(LAW, "utf-8")
    (tmp_path / "two.csv").write_text(HEADER + "?,同,同,丙,丁,A\n", "utf-8")
    (tmp_path / "three.csv").write_text("question,A,B,C,answer\n?,甲,乙,丙,A\n", "utf-8")
    with pytest.raises(DataError, match=problem):
        load(tmp_path)
