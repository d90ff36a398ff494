"""`card verify --rerun`: claimed benchmarks asked again, and what is said of each figure."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from card_foreign import CARD, changed, write
from card_run import write_log
from formosa.card.checks.agreement import Shown
from formosa.card.checks.protocol import Protocol
from formosa.cli.card import card
from formosa.cli.card_rerun import verdict
from formosa.engines.scripted import ScriptedEngine
from formosa.engines.templated import TemplatedChat
from formosa.results.log import read_log
from formosa.serve.run import serving

MINI = CARD.replace("MMLU(%)", "mini-zh-tw(%)", 2).replace("TMMLU+(%)", "CMMLU(%)")


def shown(value: str) -> Shown:
    number = Decimal(value)
    digits = -int(number.as_tuple().exponent)
    return Shown("mmlu", number, digits, "table 1: x", 9, (), (), "MMLU")


def log(folder: Path, letters: str, name: str = "mmlu") -> Path:
    path = folder / f"{name}.jsonl"
    write_log(path, task=name, model="tiny", outcomes={"box": [letters], "twinkle": [letters]})
    return path


@pytest.mark.parametrize(
    ("value", "code"),
    [("50.00", "rerun-reproduced"), ("41.0", "rerun-reproduced"), ("70", "rerun-differs")],
)
def test_a_claim_inside_the_interval_is_reproduced(tmp_path: Path, value: str, code: str) -> None:
    made = read_log(log(tmp_path, "CW" * 50))
    finding = verdict(shown(value), Protocol("mmlu"), made)
    assert finding.code == code
    assert "tiny got 50.00 (40.38 to 59.62; box, 100 of 400 questions × 1" in finding.message
    assert finding.line == 9


def test_the_scorer_and_what_the_card_leaves_open_are_said(tmp_path: Path) -> None:
    made = read_log(log(tmp_path, "CW" * 50))
    protocol = Protocol("x", scorer="twinkle", by_subject=True, remark="its sampling is unknown")
    message = verdict(shown("50"), protocol, made).message
    assert "; twinkle, " in message
    assert message.endswith(". Its sampling is unknown.")


def test_replies_that_were_cut_by_our_own_limit_tell_nothing(tmp_path: Path) -> None:
    """0 of 24, all cut at 64 tokens: the interval holds a claim of 24.80, and nothing was asked."""
    made = read_log(log(tmp_path, "T" * 24))
    short = Protocol("mmlu", max_tokens=64, allows=4096)
    finding = verdict(shown("13.80"), short, made)
    assert finding.code == "rerun-impossible"
    assert finding.message == (
        "13.80 cannot be checked here: 24 of 24 replies were cut at 64 tokens, and the protocol "
        "allows 4096. Give --max-tokens more, or a model with a longer context."
    )
    some = read_log(log(tmp_path, "C" * 10 + "W" * 80 + "T" * 10, "some"))
    assert verdict(shown("22"), short, some).code == "rerun-impossible"
    assert verdict(shown("80"), short, some).code == "rerun-differs"  # were they all right, too
    few = read_log(log(tmp_path, "CW" * 10 + "T", "few"))
    finding = verdict(shown("50"), short, few)
    assert finding.code == "rerun-reproduced"
    assert "; 1 of 21 replies were cut at 64 tokens" in finding.message
    own = verdict(shown("13.80"), Protocol("mmlu", max_tokens=64), made)  # the protocol's own
    assert own.code == "rerun-reproduced"
    assert "24 of 24 replies were cut at 64 tokens" in own.message


def test_what_tells_little_says_so(tmp_path: Path) -> None:
    message = verdict(shown("50"), Protocol("m"), read_log(log(tmp_path, "CWU"))).message
    assert "; 1 of 3 replies hold no answer that can be read" in message
    assert message.endswith("So few questions tell little: ask more.")
    many = read_log(log(tmp_path, "CW" * 100, "many"))
    assert "tell little" not in verdict(shown("50"), Protocol("m"), many).message


def test_requests_that_failed_tell_nothing(tmp_path: Path) -> None:
    """A context that was too short made every request fail, and 0 of 36 was said to differ."""
    finding = verdict(shown("44.8"), Protocol("m"), read_log(log(tmp_path, "F" * 36)))
    assert finding.code == "rerun-impossible"
    assert "44.8 cannot be checked here: 36 of 36 requests failed, such as: " in finding.message
    few = verdict(shown("47"), Protocol("m"), read_log(log(tmp_path, "CW" * 20 + "F", "few")))
    assert few.code == "rerun-reproduced"
    assert "; 1 requests failed and count as wrong" in few.message


def ask(path: Path, *args: str) -> dict[str, tuple[str, str]]:
    engine = ScriptedEngine(lambda prompt: "\\boxed{A}", name="tiny")
    with serving({"tiny": TemplatedChat(engine)}) as url:
        command = ["verify", str(path), "--rerun", "--base-url", url, "--json", *args]
        result = CliRunner().invoke(card, command, standalone_mode=False)
    if result.exception:
        raise result.exception
    value = json.loads(result.stdout)
    return {f["where"].rpartition(": ")[2]: (f["code"], f["message"])
            for f in value["findings"] if f["code"].startswith("rerun-")}  # fmt: skip


def test_every_claim_of_the_own_model_is_asked_or_says_why_not(tmp_path: Path) -> None:
    """The whole way: card, protocol, server, log, verdict."""
    text = MINI.replace("| Tiny-3B-Instruct (ours) | 90 | 92 | 88 |", "| Other | 90 | 92 | 88 |")
    path = write(tmp_path, text)
    found = ask(path, "--limit", "8", "--out", str(tmp_path / "logs"))
    code, message = found["mini-zh-tw(%)"]
    assert code in ("rerun-reproduced", "rerun-differs")
    assert "8 of 40 questions × 3" in message
    assert "twinkle" in message
    assert found["rerun"][0] == "rerun-model"
    assert "Asked was tiny; the card is about Tiny-3B-Instruct" in found["rerun"][1]
    assert not any("次數" in head for head in found)  # how often is no score
    assert found["CMMLU(%)"][0] == "rerun-impossible"
    assert "no task of Formosa asks CMMLU(%)" in found["CMMLU(%)"][1]
    (path,) = (tmp_path / "logs").glob("rerun-*.jsonl")
    made = read_log(path)
    assert made.finished
    assert made.start["task"]["name"] == "mini-zh-tw-twinkle-box"
    assert made.start["request"]["top_p"] == 0.9


def test_data_that_cannot_be_had_are_a_reason(tmp_path: Path) -> None:
    text = changed("| Tiny-3B-Instruct (ours) | 90 | 92 | 88 |", "| Other | 90 | 92 | 88 |")
    found = ask(write(tmp_path, text), "--limit", "2", "--data-dir", str(tmp_path / "nothing"))
    codes = {code for code, _ in found.values()}
    assert codes == {"rerun-impossible"}
    assert "cannot be checked here" in found["MMLU(%)"][1]


class Short:
    """A model of few tokens, as one that is asked here."""

    def __init__(self, context: int) -> None:
        self.engine = ScriptedEngine(lambda prompt: "\\boxed{A}", name="tiny", context=context)

    def open(self, *_: object, **how: int) -> TemplatedChat:
        self.asked = how["context"]
        return TemplatedChat(self.engine)


def test_a_reply_is_as_long_as_the_model_s_context_lets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """4,096 tokens of a protocol, and the question, did not fit into a context of 4,096: every
    request failed."""
    text = MINI.replace("| Tiny-3B-Instruct (ours) | 90 | 92 | 88 |", "| Other | 90 | 92 | 88 |")
    path, short = write(tmp_path, text), Short(4096)
    monkeypatch.setattr("formosa.engines.open.open_chat", short.open)
    command = ["verify", str(path), "--rerun", "--model", "m", "--limit", "2", "--json"]
    command += ["--out", str(tmp_path / "logs")]
    result = CliRunner().invoke(card, command, standalone_mode=False)
    assert result.exception is None
    assert short.asked == 4096 + 2048
    (made,) = (read_log(path) for path in (tmp_path / "logs").glob("rerun-*.jsonl"))
    assert made.start["request"]["max_tokens"] == 2048
    assert made.failures == 0


QUESTION = '{"question": "1 + 1 = ?", "A": "2", "B": "3", "C": "4", "D": "5", "answer": "A"}'


def test_one_benchmark_s_data_are_here_and_another_s_are_not(tmp_path: Path) -> None:
    """Questions of a folder may be others than the published ones, and the report says so."""
    text = changed("| Tiny-3B-Instruct (ours) | 90 | 92 | 88 |", "| Other | 90 | 92 | 88 |")
    data = tmp_path / "sums"
    data.mkdir()
    rows = "\n".join(QUESTION.replace("1 +", f"{n} +") for n in range(9))
    (data / "adding_test.jsonl").write_text(rows, encoding="utf-8")
    words = [
        "--limit",
        "9",
        "--max-tokens",
        "64",
        "--out",
        str(tmp_path / "logs"),
        "--data-dir",
        f"tmmluplus={data}",
    ]
    found = ask(write(tmp_path, text), *words, "--data-dir", f"mmlu={tmp_path / 'nothing'}")
    code, message = found["TMMLU+(%)"]
    assert code == "rerun-differs"
    assert "9 questions × 3" in message
    assert "The questions are those of --data-dir; whether the card's are the same" in message
    (path,) = (tmp_path / "logs").glob("rerun-*.jsonl")
    assert read_log(path).start["request"]["max_tokens"] == 64
    assert found["MMLU(%)"][0] == "rerun-impossible"
    assert "nothing" in found["MMLU(%)"][1]


def test_the_interval_decides_at_its_ends(tmp_path: Path) -> None:
    """100 answers, half of them right: 40.38 to 59.62."""
    made = read_log(log(tmp_path, "CW" * 50))
    for value, code in (
        ("40.3", "rerun-differs"),
        ("40.4", "rerun-reproduced"),
        ("59.6", "rerun-reproduced"),
        ("59.7", "rerun-differs"),
        ("60", "rerun-reproduced"),  # which 59.6 is, rounded
        ("61", "rerun-differs"),
    ):
        assert verdict(shown(value), Protocol("mmlu"), made).code == code, value


def test_a_whole_benchmark_is_not_called_a_part(tmp_path: Path) -> None:
    made = read_log(log(tmp_path, "CW" * 200))
    message = verdict(shown("50"), Protocol("mmlu"), made).message
    assert "400 questions × 1" in message
    assert " of 400" not in message


def test_a_scorer_that_the_log_lacks_is_the_first_one(tmp_path: Path) -> None:
    made = read_log(log(tmp_path, "CW" * 50))
    assert "; box, " in verdict(shown("50"), Protocol("mmlu", scorer="logit"), made).message


@pytest.mark.parametrize(
    ("protocol", "line"),
    [
        (Protocol("mmlu"), "formosa eval run mmlu --base-url URL"),
        (Protocol("mmlu", repeats=3), "formosa eval run mmlu --base-url URL --repeats 3"),
        (
            Protocol("x", top_p=0.9, max_tokens=4096),
            "formosa eval run x --base-url URL --top-p 0.9 --max-tokens 4096",
        ),
    ],
)
def test_the_line_to_paste(protocol: Protocol, line: str) -> None:
    assert protocol.command() == line
    assert (
        protocol.command("--model m").split() == line.replace("--base-url URL", "--model m").split()
    )


def test_a_card_that_claims_nothing_that_can_be_asked_asks_nobody(tmp_path: Path) -> None:
    """No server is needed to say so."""
    text = CARD.replace("TMMLU+(%)", "CMMLU(%)").replace("MMLU(%)", "XY(%)")
    text = text.replace("AST (S.)", "One").replace("AST (M.)", "Two")
    command = ["verify", str(write(tmp_path, text)), "--rerun", "--json"]
    result = CliRunner().invoke(
        card, [*command, "--base-url", "http://127.0.0.1:9/v1"], standalone_mode=False
    )
    assert result.exception is None
    codes = [f["code"] for f in json.loads(result.stdout)["findings"]]
    assert codes.count("rerun-impossible") == 5
    assert not (tmp_path / "logs").exists()
