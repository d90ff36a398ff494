"""The sheet's page: of a run, a GGUF file and a card; of damaged and hostile ones, too."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from card_run import make_run, write_log
from formosa.card.sheet.units import parameters, size
from formosa.card.write import write_card
from formosa.errors import ModelError, UserError
from formosa.web.sheet.pages import export, read_cached, routes
from tiny_gguf import gguf_bytes, write_gguf_file
from web_run import Reader, get, pages_app

ATTACK = "<script>alert(1)</script>"
CARD = f"""---
license: other
license_name: {ATTACK}
license_link: javascript:alert(2)
language: [en, zh]
base_model: ["org/Base-3B", "{ATTACK}"]
base_model_relation: finetune
datasets: [org/set, "javascript:alert(3)"]
tags: ["{ATTACK}"]
model-index:
- name: T
  results:
  - task: {{type: text-generation}}
    dataset: {{type: org/exam, name: "{ATTACK}", revision: c30699e}}
    metrics:
    - {{type: accuracy, value: 46.16, verified: true}}
---
# **Tiny** {ATTACK}

This is **Tiny**, <img src=x onerror=alert(4)> a model.

| Model | Exam |
|---|---|
| <b onclick=alert(5)>Tiny</b> | 46.16 |
"""


def read(path: Path, lang: Any = "en") -> Reader:
    return Reader(export([path], lang))


@pytest.fixture
def card(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    path.write_text(CARD, encoding="utf-8")
    return path


def test_a_gguf_file_has_its_network_its_memory_and_its_digest(tmp_path: Path) -> None:
    path = write_gguf_file(tmp_path / "tiny.gguf")
    reader = read(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    for words in (digest, "a GGUF file", "Memory to run", "Its network", "Parameters"):
        assert words in reader.text


@pytest.mark.parametrize("lang", ["en", "zh-TW"])
def test_a_run_says_which_results_are_traced(tmp_path: Path, lang: str) -> None:
    run = make_run(tmp_path)
    (run / "gguf" / "model-Q8_0.gguf").write_bytes(gguf_bytes())
    write_card(run)
    text = read(run, lang).text
    assert {"en": "✓ traced", "zh-TW": "✓ 可追溯"}[lang] in text
    assert {"en": "Files", "zh-TW": "檔案"}[lang] in text


def test_a_card_alone_shows_what_it_claims(card: Path) -> None:
    text = read(card).text
    assert "○ claimed" in text and "46.16" in text
    assert "Its entry says verified; that is not checked here." in text
    assert "Nothing here says how its network is built." in text
    assert "This is Tiny" in text, "marks of bold type are left out"


def test_nothing_of_a_hostile_card_becomes_markup(card: Path) -> None:
    reader = read(card)
    assert not {"img", "b", "iframe", "form"} & {tag for tag, _ in reader.tags}
    assert reader.count("script") == 1
    links = [str(a["href"]) for a in reader.of("a") if not str(a["href"]).startswith("#")]
    assert links == [
        "https://huggingface.co/org/Base-3B",
        "https://huggingface.co/datasets/org/set",
    ]
    for link in reader.of("a"):
        if str(link["href"]).startswith("https"):
            assert link["rel"] == "noopener noreferrer nofollow"
    assert ATTACK in reader.text


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[: len(data) // 2], lambda data: b"GGUF" + b"\xff" * 64, lambda data: b""],
)
def test_a_damaged_file_is_a_sentence(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(damage(gguf_bytes()))
    with pytest.raises(ModelError):
        export([path])
    answered = get(pages_app(tmp_path, routes()), "/sheet", path=str(path), lang="en")
    assert answered.status_code == 400
    assert "broken.gguf" in answered.text and "Traceback" not in answered.text


def test_a_hostile_template_of_a_gguf_file_is_reported(tmp_path: Path) -> None:
    path = write_gguf_file(
        tmp_path / "x.gguf",
        metadata={"general.architecture": "llama", "tokenizer.chat_template": "{% for"},
    )
    assert "It can't be tried" in read(path).text


def test_a_file_that_changed_is_read_again(tmp_path: Path, card: Path) -> None:
    assert read_cached(card) is read_cached(card)
    before = read_cached(card)
    card.write_text(CARD.replace("46.16", "46.2"), encoding="utf-8")
    assert read_cached(card) is not before


def test_a_name_here_is_never_asked_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path such as org/name looks like one of its models."""
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="neither a model nor a card"):
        read_cached(Path("org/name"))


def test_a_served_sheet_leads_to_the_card_and_holds_results_against_logs(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    (run / "gguf" / "model-Q8_0.gguf").write_bytes(gguf_bytes())
    write_card(run)
    app = pages_app(tmp_path, routes())
    reader = Reader(get(app, "/sheet", path=str(run), lang="en").text)
    assert any(str(a["href"]).startswith("/card?path=") for a in reader.of("a"))
    logs = tmp_path / "own"
    write_log(
        logs / "exam.jsonl",
        task="exam",
        model="x",
        outcomes={"box": ["CW" * 50]},
        start={"task": {"source": "https://huggingface.co/datasets/org/exam"}},
    )
    (tmp_path / "c.md").write_text(CARD, encoding="utf-8")
    held = get(app, "/sheet", path=str(tmp_path / "c.md"), logs=str(logs), lang="en")
    assert "✓ reproduced" in Reader(held.text).text
    assert get(app, "/sheet", path=str(run), logs="/etc").status_code == 404
    assert get(app, "/sheet").status_code == 400


def test_a_sheet_that_is_sent_does_not_say_where_its_home_is(
    card: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in export([Path("README.md")])


def test_a_sheet_is_of_one_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="of one model"):
        export([tmp_path, tmp_path])


def test_figures_are_spoken() -> None:
    assert [parameters(n) for n in (999, 1500, 134_515_008, 3_212_749_888)] == [
        *("999", "1.5 k", "134.5 M", "3.21 B"),
    ]
    assert [size(n) for n in (None, 5, 2_200, 144_800_000, 3_420_000_000)] == [
        *("–", "5 B", "2.2 kB", "144.8 MB", "3.42 GB"),
    ]
