"""Does our twinkle profile read and add up as twinkle-eval does? Both, on the same replies.

    pip install --no-deps --target FOLDER twinkle-eval==2.10.0
    pip install pandas pyarrow datasets openai tqdm         # what its modules import
    python benchmarks/twinkle_agreement.py FOLDER

Invented questions are asked in three runs, in our order of options; a made-up model answers with
seeded replies: every expression's own words, boxes of all kinds, thoughts, noise, and mixtures.
Compared with twinkle-eval's own classes, which get the questions as files in the order that we
showed, and the same replies:

1. the user's message, letter for letter, and the system message;
2. the letter read from every reply, for both methods, by the expressions of both versions;
3. the accuracy of every file and run, each file's mean and deviation, and the two figures of a
   card, as its runner computes them. For April 2025 its expressions are handed to the later code,
   with replies that have content and no thoughts: there the two versions differ in nothing else.

What April's program did outside of these (its shuffle, the gold letter by text) is not in the
package any more and is taken from the description in `formosa/evals/twinkle.py`. Exits with 1 on
the first difference.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import re
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from formosa.chat.message import Message
from formosa.engines.protocol import ChatReply
from formosa.evals.choice import BOX_PROMPTS, Choice, ChoiceSet, order, right_letter, user_text
from formosa.evals.task import Sample, Task
from formosa.evals.twinkle import (
    APRIL_2025,
    V2_10,
    Figures,
    Method,
    extract,
    extract_v2_10,
    figures_of,
    gold_letter,
    twinkle_task,
)

FILES, QUESTIONS, RUNS, SEED = 12, 60, 3, 7
METHODS: tuple[Method, ...] = ("box", "pattern")
NOISE = (
    "讓我們一步一步來想。", "根據題意，", "The capital of Taiwan is Taipei.", "我不確定", "\n", " ",
    "選項 A 不對，", "Answer: B", "The answer is B.", "（C）", "維他命 C 很重要", "A: 玉山\n",
    "B: 雪山\n", "ＡＢＣＤ", "答案", "E", "Z.", "", "、", "**", "Therefore", "正確", "d", "\\",
    "{", "}",
)  # fmt: skip
BOXES = (
    "\\box{%s}", "\\boxed{%s}", "\\\\box{%s}", "\\\\\\boxed{%s}", "\\boxed{ %s }", "box{%s}",
    "\\boxed{\\text{%s}}", "\\box {%s}", "\\box{%s", "$\\boxed{%s}$", "\\box{%s.}", "\\Box{%s}",
)  # fmt: skip
THOUGHTS = (
    "<think>%s</think>", "<THINK>%s</Think>", "<reason>%s</reason>", "%s</think>", "<think>%s",
    "<reasoning>%s</reasoning>", "<think>a</think>%s<think>b</think>",
)  # fmt: skip


def words_of(expression: str, letter: str, dice: random.Random) -> str:
    """A text that the expression was written for."""
    text = expression.removeprefix("^").replace("([A-D])", letter)
    text = re.sub(r"([選项項选])\?", lambda m: dice.choice([m[1], ""]), text)
    text = text.replace(r"\s?", dice.choice(["", " ", "\n"])).replace(r"\n", "\n")
    text = text.replace(r".*?\b", dice.choice(["", " ", "經過思考，", "x "])).replace(r"\b", "")
    if text.endswith((". ", ".")):
        text = re.sub(r"\.( ?)$", lambda m: dice.choice(".。，x\n") + m[1], text)
    return text.replace("\\", "")


def reply_text(dice: random.Random) -> str:
    """A reply without thoughts."""
    parts = []
    for _ in range(dice.randint(1, 4)):
        letter = dice.choice("AABBCCDDEZab")
        kind = dice.random()
        if kind < 0.4:
            parts.append(words_of(dice.choice(APRIL_2025["pattern"]).pattern, letter, dice))
        elif kind < 0.7:
            parts.append(dice.choice(BOXES) % letter)
        else:
            parts.append(dice.choice(NOISE))
    return dice.choice(["", "\n", " ", "。"]).join(parts)


def any_reply(dice: random.Random) -> tuple[str, str]:
    """Content and reasoning, either of which may be empty or hold thoughts."""
    content, reasoning = reply_text(dice), ""
    if dice.random() < 0.3:
        content = dice.choice(THOUGHTS) % reply_text(dice) + dice.choice(["", "\n"]) + content
    if dice.random() < 0.2:
        reasoning = reply_text(dice)
        content = dice.choice(["", content, "  "])
    return content, reasoning


def questions() -> ChoiceSet:
    """Invented ones; every tenth has two equal options."""
    samples = []
    for file in range(FILES):
        for number in range(QUESTIONS):
            options = [f"選項 {file}-{number}-{i}" for i in range(4)]
            if number % 10 == 0:
                options[3] = options[number // 10 % 3]
            choice = Choice(f"第 {file} 卷第 {number} 題？", tuple(options), number % 4)
            samples.append(Sample(f"f{file:02}/{number}", choice, f"f{file:02}"))
    return ChoiceSet("agreement", samples, "zh", "", "", "", "zh-TW")


Replies = dict[tuple[str, int], ChatReply]


def replies_for(task: Task[Choice], *, thoughts: bool) -> Replies:
    made = {}
    for sample in task.samples:
        for run in range(RUNS):
            dice = random.Random(f"{sample.id}/{run}")
            content, reasoning = any_reply(dice) if thoughts else (reply_text(dice), "")
            message = Message("assistant", content or ("" if thoughts else "x"), reasoning)
            made[sample.id, run] = ChatReply(message, "stop")
    return made


def ours(task: Task[Choice], scorer: str, replies: Replies) -> Figures:
    score = task.scorers[scorer]
    return figures_of(
        (sample.subject, run, score(sample, run, SEED, replies[sample.id, run]).outcome)
        for sample in task.samples
        for run in range(RUNS)
    )


def part(name: str) -> Any:
    """A module of twinkle-eval."""
    return import_module(f"twinkle_eval.{name}")


def extractor(method: Method, config: dict[str, Any]) -> Any:
    kind = {"box": "BoxExtractor", "pattern": "PatternExtractor"}[method]
    return getattr(part(f"metrics.extractors.{method}"), kind)(config)


def theirs(
    task: Task[Choice],
    method: Method,
    patterns: list[str],
    replies: Replies,
    gold: Callable[[Sample[Choice], int, int], str],
) -> dict[str, Any]:
    """What twinkle-eval's own runner makes of the same questions and replies."""
    by_prompt: dict[str, ChatReply] = {}
    for run in range(RUNS):
        files: dict[str, list[dict[str, str]]] = {}
        for sample in task.samples:
            shown = [sample.content.options[i] for i in order(sample, run, SEED)]
            row = {"question": sample.content.question, **dict(zip("ABCD", shown, strict=True))}
            row["answer"] = gold(sample, run, SEED)
            files.setdefault(sample.subject, []).append(row)
            # The same prompt may come in two runs, with two replies: a run has its own folder.
            by_prompt[f"{run}\0{user_text(sample, run, SEED)}"] = replies[sample.id, run]
        for name, rows in files.items():
            path = Path(f"run{run}") / f"{name}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))

    class Model:
        """Answers a prompt that we would have sent, and no other."""

        run = 0

        def call(self, text: str, *_: Any) -> Any:
            reply = by_prompt[f"{self.run}\0{text}"]
            message = SimpleNamespace(
                content=reply.message.content or None, reasoning=reply.message.reasoning or None
            )
            usage = SimpleNamespace(completion_tokens=1, prompt_tokens=1, total_tokens=2)
            return SimpleNamespace(choices=[SimpleNamespace(message=message)], usage=usage)

    model = Model()

    prompt = BOX_PROMPTS["zh"].replace("{letters}", "A、B、C、D")
    config = {
        "llm_api": {"api_rate_limit": -1},
        "evaluation": {"evaluation_method": method, "system_prompt": {"zh": prompt}},
        "model": {"name": "made-up"},
    }
    assert part("core.prompts").resolve_system_prompt(config["evaluation"], "zh") == prompt
    scorer = part("metrics.scorers.exact").ExactMatchScorer()
    read = extractor(method, {"patterns": patterns})
    evaluator = part("runners.evaluator").Evaluator(model, read, scorer, config, method)
    evaluate = evaluator.evaluate_file

    def evaluate_run(path: str, timestamp: str, language: str) -> Any:
        model.run = int(timestamp.rpartition("_run")[2])
        return evaluate(path.replace("run0", f"run{model.run}"), timestamp, language)

    evaluator.evaluate_file = evaluate_run
    runner = part("runners.standard").TwinkleEvalRunner("none.yaml")
    runner.config, runner.start_time = config, "t"
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        result: dict[str, Any] = runner._evaluate_dataset("run0", evaluator, RUNS, 1)
    return result


def compare(task: Task[Choice], method: Method, version: str, failures: list[str]) -> None:
    april = version == "twinkle"
    expressions = [p.pattern for p in (APRIL_2025 if april else V2_10)[method]]
    replies = replies_for(task, thoughts=not april)
    made = ours(task, version, replies)
    result = theirs(task, method, expressions, replies, gold_letter if april else right_letter)
    by_file = {Path(row["file"]).stem: row for row in result["results"]}
    pairs = [
        ("average_accuracy", made.accuracy, result["average_accuracy"]),
        ("average_std", made.plus_minus, result["average_std"]),
    ]
    for name, part in made.files.items():
        pairs += [
            (f"{name} mean", part.mean, by_file[name]["accuracy_mean"]),
            (f"{name} std", part.deviation, by_file[name]["accuracy_std"]),
        ]
        runs = by_file[name]["individual_runs"]["accuracies"]
        if list(part.runs) != runs:
            failures.append(f"{version} {method} {name}: runs {part.runs}, theirs {runs}")
    failures += [
        f"{version} {method} {name}: {a}, theirs {b}" for name, a, b in pairs if abs(a - b) > 1e-12
    ]
    print(f"{version:13} {method:8} {len(replies)} replies, {len(made.files)} files: {made.card()}")


def compare_letters(count: int, failures: list[str]) -> None:
    cut_thoughts = part("runners.evaluator")._strip_think_blocks
    dice = random.Random(SEED)
    for method in METHODS:
        later = extractor(method, {})
        april = extractor(method, {"patterns": [p.pattern for p in APRIL_2025[method]]})
        if later.patterns != [p.pattern for p in V2_10[method]]:
            failures.append(f"{method}: the package has other expressions")
        read = 0
        for _ in range(count):
            content, reasoning = any_reply(dice)
            cut = cut_thoughts(content) if content else content
            pairs = [
                (extract(content, method), april.extract(content)),
                (extract_v2_10(content, reasoning, method), later.extract(cut or reasoning)),
            ]
            read += sum(a is not None for a, _ in pairs)
            failures += [f"{method} {content!r}: {a}, theirs {b}" for a, b in pairs if a != b]
        print(f"letters       {method:8} {2 * count} readings, {read} with a letter")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", help="where twinkle-eval 2.10.0 was installed")
    parser.add_argument("--replies", type=int, default=20_000, help="for each method")
    options = parser.parse_args()
    sys.path.append(str(Path(options.folder).resolve()))
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        compare_letters(options.replies, failures)
        for method in METHODS:
            task = twinkle_task(questions(), method, f"agreement-twinkle-{method}")
            compare(task, method, "twinkle", failures)
            compare(task, method, "twinkle-2.10", failures)
    for failure in failures[:20]:
        print(f"DIFFERENT: {failure}")
    print(f"{len(failures)} differences")
    return int(bool(failures))


if __name__ == "__main__":
    os.environ.setdefault("TQDM_DISABLE", "1")
    sys.exit(main())
