"""Which files of a data set are a split: the rules of `datasets`, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from formosa.data.sources.splits import choose, front_matter, licence_of
from formosa.errors import DataError

PARTS = [f"data/train-0000{i}-of-00003.parquet" for i in range(3)]
BAD = "data/bad-00000-of-00001.parquet"


def front(text: str) -> dict[str, Any]:
    value = yaml.safe_load(text)
    assert isinstance(value, dict)
    return value


@pytest.mark.parametrize(
    ("names", "split", "chosen"),
    [
        ([*PARTS, BAD, "README.md"], "train", PARTS),
        ([*PARTS, BAD], "bad", [BAD]),
        (["train.jsonl", "test.jsonl"], "test", ["test.jsonl"]),
        (["train/a.json", "train/b.json", "dev/a.json"], "train", ["train/a.json", "train/b.json"]),
        (["x/dev/a.json", "train/a.json"], "validation", ["x/dev/a.json"]),
        (["my_train_set.jsonl", "my-eval.jsonl"], "test", ["my-eval.jsonl"]),
        (["latest.jsonl", "trainer.jsonl"], "train", ["latest.jsonl", "trainer.jsonl"]),
        (["b.jsonl", "a.jsonl", "notes.txt", "dataset_infos.json"], "train",
         ["a.jsonl", "b.jsonl"]),
        (["old/.cache/a.jsonl", "a.jsonl"], "train", ["a.jsonl"]),
    ],
)  # fmt: skip
def test_names_say_which_split(names: list[str], split: str, chosen: list[str]) -> None:
    assert choose(names, {}, split=split) == chosen


@pytest.mark.parametrize(
    ("configs", "config", "split", "chosen"),
    [
        ("[{config_name: default, data_files: [{split: train, path: data/train-*}]}]",
         "", "train", PARTS),
        ("[{data_files: [{split: train, path: [data/train-*]}, {split: x, path: data/bad-*}]}]",
         "", "x", [BAD]),
        ("[{config_name: a, data_files: a.jsonl}, {config_name: b, data_files: b.jsonl}]",
         "b", "train", ["b.jsonl"]),
        ("[{config_name: a, data_files: a.jsonl}, "
         "{config_name: b, data_files: b.jsonl, default: true}]", "", "train", ["b.jsonl"]),
        ("[{config_name: a, data_files: a.jsonl}, {config_name: default, data_files: b.jsonl}]",
         "", "train", ["b.jsonl"]),
        ("[{config_name: zh, data_dir: zh}]", "", "train", ["zh/x.json"]),
        ("[{config_name: zh, data_dir: zh, data_files: '*.json'}]", "zh", "train", ["zh/x.json"]),
        ("[{data_files: '**/x.json'}]", "", "train", ["zh/x.json"]),
        ("[{data_files: '*.jsonl'}]", "", "train", ["a.jsonl", "b.jsonl"]),
        ("[{data_files: {train: a.jsonl, test: b.jsonl}}]", "", "test", ["b.jsonl"]),
        ("[{data_files: zh}]", "", "train", ["zh/x.json"]),
    ],
)  # fmt: skip
def test_the_card_says_which_files(
    configs: str, config: str, split: str, chosen: list[str]
) -> None:
    names = [*PARTS, BAD, "a.jsonl", "b.jsonl", "zh/x.json"]
    assert choose(names, front(f"configs: {configs}"), config=config, split=split) == chosen


def test_a_configuration_without_a_card_is_a_folder() -> None:
    names = ["zh/train.jsonl", "en/train.jsonl"]
    assert choose(names, {}, config="zh") == ["zh/train.jsonl"]


def test_patterns_of_the_recipe_go_before_everything() -> None:
    names = [*PARTS, "a/b/extra.jsonl"]
    assert choose(names, front("configs: [{data_files: x}]"), files=["extra.*"]) == [names[3]]


@pytest.mark.parametrize(
    ("names", "card", "options", "said", "hint"),
    [
        (PARTS[:2], "{}", {}, "Of 00003 numbered files 1 are missing", ""),
        (PARTS, "{}", {"split": "test"}, "no split 'test'", "there are train"),
        (["a.csv"], "{}", {}, "a.csv is none of .jsonl", "refs/convert/parquet"),
        (["README.md"], "{}", {}, "no split 'train'", "there are none"),
        (PARTS, "{}", {"files": ["*.jsonl"]}, r"No file is like \*.jsonl", "data/train-00000"),
        ([], "{}", {"files": ["*"]}, "No file is like", "no data file at all"),
        (["a.jsonl"], "{}", {"config": "zh"}, "no configuration 'zh'", "leave config out"),
        (["en/a.jsonl"], "{}", {"config": "zh"}, "no configuration 'zh'", "folders en"),
        (PARTS, "configs: [{config_name: a}]", {"config": "b"}, "configuration 'b'", "are a"),
        (PARTS, "configs: [{config_name: a}, {config_name: b}]", {},
         "several configurations", "config: a, b"),
        (PARTS, "configs: [{data_files: [{split: train, path: {x: 1}}]}]", {},
         "can't be read", "files"),
        (PARTS, "configs: [{data_files: gone.jsonl}]", {}, "has no files", "files"),
    ],
)  # fmt: skip
def test_what_is_not_sure_is_refused_with_what_there_is(
    names: list[str], card: str, options: dict[str, Any], said: str, hint: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        choose(names, front(card), **options)
    assert hint in caught.value.hint


def test_many_files_are_not_all_listed() -> None:
    with pytest.raises(DataError) as caught:
        choose([f"{i}.jsonl" for i in range(99)], {}, files=["x"])
    assert "and 91 more" in caught.value.hint


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: mit\n---\n# Title", "mit"),
        ("\ufeff---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\nlicense: [mit, cc-by-4.0]\n---\n", "mit, cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: llama\n---\n", "llama"),
        ("---\nlicense: unknown\n---\n", ""),
        ("---\nlanguage: [zh]\n---\n", ""),
        ("# no front matter\nlicense: mit", ""),
        ("---\n: [\n---\n", ""),
        ("---\njust text\n---\n", ""),
        ("", ""),
    ],
)
def test_the_licence_is_what_the_card_s_front_matter_says(card: str, licence: str) -> None:
    assert licence_of(front_matter(card)) == licence
