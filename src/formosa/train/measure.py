"""Measurements on held-out rows while a model trains: loss, exact calls, relevance, and stopping.

Needs torch, imported by functions only.

Every process takes its share of the rows, and the sums are added up. Shares are equally long (with
rows that don't count), because a sharded model answers only when all processes ask it together.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from formosa.checkpoints import quiet_transformers
from formosa.train.accuracy import Answer, Exact, exact_calls
from formosa.train.config import TrainConfig
from formosa.train.packing import collate, groups
from formosa.train.parallel import Arrangement
from formosa.train.relevance import Relevance, beginnings, call_token, relevance
from formosa.train.rows import Conversation, EncodedRow, Row, RowEncoder, RowSettings, read_rows
from formosa.train.special_tokens import PreparedTokenizer

T = TypeVar("T")

GROUP = 4  # rows measured together
PROMPTS = 16  # rows answered together


class HeldOut:
    """Rows that are measured and never trained.

    Args:
        path: prepared rows. Those longer than the limit of training are measured too, up to twice
            that length.
        config: the recipe's `train:` part.
        tokenizer: after `prepare_tokenizer`.
        prepared: what that said.

    Attributes:
        rows: all that are measured; `calls` of them have calls.
        answers: those of the latest measurement that this process got.
    """

    def __init__(
        self, path: Path, config: TrainConfig, tokenizer: Any, prepared: PreparedTokenizer
    ) -> None:
        self._config, self._tokenizer, self._template = config, tokenizer, prepared.template
        read = list(read_rows(path))
        settings = RowSettings.of(config)._replace(
            max_tokens=2 * config.max_tokens, overlong="drop"
        )
        outcomes = RowEncoder(tokenizer, prepared.template, settings).encode(read)
        # Those with calls first: their loss is told alone, too.
        made = sorted(zip(read, outcomes, strict=True), key=lambda pair: not _calls(pair[0]))
        self.rows = [row for _, outcome in made for row in outcome.rows]
        self.calls = sum(len(outcome.rows) for row, outcome in made if _calls(row))
        self.asked = [row for row in read if isinstance(row, Conversation)]
        if config.objective == "cpt":
            self.asked = []
        longest = settings.max_tokens
        self.begun = beginnings(tokenizer, prepared.template, self.asked, longest)
        self.answers: list[Answer] = []

    def measure(self, trainer: Any, shared: Arrangement) -> dict[str, Any]:
        """`loss` (natural logarithm, by token) and, of conversations, `exact_call`; where only
        some rows have calls, the `call_loss` of those; where some have tools, the `relevance` of
        what is said first. Called by every process."""
        model = _answering(trainer, shared)
        was_training = model.training
        model.eval()
        with_calls = held_out_losses(model, self.rows[: self.calls], shared)
        others = held_out_losses(model, self.rows[self.calls :], shared)
        loss = _mean(with_calls, others)
        found: dict[str, Any] = {"loss": round(loss, 4)}
        if with_calls.tokens and others.tokens:
            found["call_loss"] = round(_mean(with_calls), 4)
        if self._config.objective == "cpt":
            found["perplexity"] = round(math.exp(min(loss, 50.0)), 3)
        if self.asked:
            asked = self.asked[: self._config.measure_rows]
            found["exact_call"] = self._exact(model, asked, shared)._asdict()
        if self.begun:
            found["relevance"] = self._relevance(model, shared)._asdict()
        model.train(was_training)
        return found

    def stops(self, trainer: Any, shared: Arrangement, rows: int = 2) -> Exact:
        """How the first rows are answered now: an early look at whether replies end at all."""
        return self._exact(_answering(trainer, shared), self.asked[:rows], shared)

    def _relevance(self, model: Any, shared: Arrangement) -> Relevance:
        call, padding = call_token(self._tokenizer), self._tokenizer.pad_token_id
        results = [
            relevance(model, share, count, call=call, padding=padding)
            for share, count in shares(self.begun, PROMPTS, *place(shared))
        ]
        sums = total(results, len(Relevance._fields), model.device)
        return Relevance(*(int(value) for value in sums))

    def _exact(self, model: Any, rows: Sequence[Conversation], shared: Arrangement) -> Exact:
        results = []
        self.answers = []
        for share, count in shares(rows, PROMPTS, *place(shared)):
            found = exact_calls(
                model,
                self._tokenizer,
                self._template,
                share,
                max_new_tokens=self._config.measure_tokens,
                count=count,
                together=shared.sharded,
                seen=self.answers.append,
            )
            results.append(found)
        return Exact(*(int(value) for value in total(results, len(Exact._fields), model.device)))


class Losses(NamedTuple):
    """The sum of the cross entropies of labelled tokens, and how many those are."""

    sum: float
    tokens: float


def _mean(*parts: Losses) -> float:
    """By token; 0.0 of none."""
    return sum(part.sum for part in parts) / max(sum(part.tokens for part in parts), 1.0)


def _calls(row: Row) -> bool:
    """Whether it has a call. Words are told in so many ways that their loss hides that of calls."""
    return isinstance(row, Conversation) and any(m.tool_calls for m in row.messages)


def held_out_losses(
    model: Any, rows: Sequence[EncodedRow], shared: Arrangement | None = None
) -> Losses:
    """Cross entropy of the labelled tokens, over all rows together.

    Args:
        model: in evaluation mode, after `score_labels`.
        rows: encoded ones.
        shared: how several processes share them.
    """
    import torch

    ordered = groups([len(row.ids) for row in rows], 1)
    sums: list[tuple[float, float]] = []
    with torch.no_grad():
        for share, count in shares([rows[i] for (i,) in ordered], GROUP, *place(shared)):
            inputs = collate([share])
            inputs = {name: value.to(model.device) for name, value in inputs.items()}
            if count < len(share):  # rows that only keep the others company
                inputs["labels"][count:] = -100
            loss = float(model(**inputs)["loss"])
            learnt = sum(label != -100 for row in share[:count] for label in row.labels[1:])
            sums.append((loss, learnt))
    return Losses(*total(sums, 2, model.device))


def place(shared: Arrangement | None) -> tuple[int, int]:
    """This process's number, and how many there are."""
    return (0, 1) if shared is None else (int(os.environ.get("RANK", "0")), shared.world)


def shares(
    rows: Sequence[T], size: int, rank: int, world: int
) -> Iterator[tuple[Sequence[T], int]]:
    """The groups of at most `size` rows of process `rank`, and how many rows of a group count.

    Every process gets equally many groups, so the last ones may hold a row that doesn't count.
    """
    for start in range(0, len(rows), size * world):
        round_of_all = rows[start : start + size * world]
        width = -(-len(round_of_all) // world)  # of the process with most
        mine = round_of_all[rank * width : (rank + 1) * width]
        yield (mine, len(mine)) if mine else (round_of_all[:1], 0)


def total(values: Sequence[Sequence[float]], width: int, device: Any) -> list[float]:
    """The sums of the columns, over all processes."""
    import torch
    import torch.distributed as dist

    sums = torch.zeros(width, dtype=torch.float64, device=device)
    for row in values:
        sums += torch.tensor(list(row), dtype=torch.float64, device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(sums)
    return list(sums.tolist())


def _answering(trainer: Any, shared: Arrangement) -> Any:
    """The model as it will be shipped. Adapters beside every layer cost half as much time again,
    and merging them in place could not be undone to the bit. A model in shards or in 4 bits
    answers as it is."""
    if shared.sharded:
        return trainer.model
    model = trainer.accelerator.unwrap_model(trainer.model)
    adapted = hasattr(model, "peft_config") and not getattr(model, "is_quantized", False)
    if not adapted:
        return model
    with quiet_transformers():
        return copy.deepcopy(model).merge_and_unload()
