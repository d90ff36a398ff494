"""Control tokens that a base lacks, or never learnt: added, with sensible first values.

A base model may know nothing of turns. Its vocabulary may have no token for them, or one that no
text ever held: Llama 3's base has `<|start_header_id|>` with a row of almost nothing. A random or
empty row costs hundreds of steps, and with adapters it would stay as it is for ever. So such a row
begins as the mean of the words that describe it, plus a little noise of its own (equal rows could
never be told apart), the same on every machine; and it has to be trained and saved, also where all
else is frozen: `adapter_rows` says so to peft.

The end of a turn, the padding and the beginning of a text are set in the tokenizer, the model's
configuration and its generation's configuration from one value each.

Two steps, since rows are encoded before the weights are loaded: `prepare_tokenizer`, then
`prepare_model`. Both may be repeated; the second gives the same values again for the same base.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from formosa.chat.tags import CALL, END_CALL, END_THINK, THINK
from formosa.chat.template import FAMILIES, ChatTemplate, Family, family_of_vocabulary
from formosa.errors import UserError
from formosa.train.documents import end_of_text
from formosa.train.rows import encode_texts

FamilyName = Literal["auto", "chatml", "llama3", "gemma"]
TAGS = {CALL: "tool call", END_CALL: "end of tool call", THINK: "think", END_THINK: "end of think"}
PAD = "<|pad|>"
PADS = ("<|finetune_right_pad_id|>", "<pad>", "<|endoftext|>", PAD)
SMALL = 0.1  # of the median length of a row: shorter ones were never trained
PART = 16_384  # rows looked at together: a float32 copy of a whole matrix may not fit
NOISE = 0.02  # of a first value's own length


class PreparedTokenizer(NamedTuple):
    """What `prepare_tokenizer` did.

    Attributes:
        family: whose control tokens the conversations are written with.
        template: our format with them.
        added: tokens that the vocabulary lacked.
    """

    family: Family
    template: ChatTemplate
    added: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people; nothing where nothing was done."""
        if not self.added:
            return []
        return [f"added to the vocabulary: {', '.join(self.added)}"]


class PreparedModel(NamedTuple):
    """What `prepare_model` did.

    Attributes:
        tokens: tokens whose rows got first values, and `ids`, their rows: they must be trained and
            saved, whatever else is frozen.
        vocabulary: rows of the embeddings now.
        grown: how many of them are new.
    """

    tokens: tuple[str, ...]
    ids: tuple[int, ...]
    vocabulary: int
    grown: int

    def lines(self) -> list[str]:
        """For people; nothing where nothing was done."""
        found = [f"the vocabulary grew by {self.grown} rows to {self.vocabulary}"] * bool(
            self.grown
        )
        if self.tokens:
            found.append(
                f"first values for {', '.join(self.tokens)}: the base never learnt "
                f"{'it' if len(self.tokens) == 1 else 'them'}"
            )
        return found


def prepare_tokenizer(
    tokenizer: Any,
    family: FamilyName = "auto",
    *,
    objective: Literal["sft", "cpt"] = "sft",
    tags: bool = False,
) -> PreparedTokenizer:
    """Give a base's tokenizer (as it was loaded, in place) our template and its control tokens.

    Args:
        tokenizer: transformers'.
        family: `auto` takes the one whose tokens the vocabulary holds; another is added to it.
            Documents need none.
        objective: what a text ends with. `sft`: the turn's end; `cpt`: the end of a document.
        tags: whether `<tool_call>` and `<think>` become tokens. As words they work as well, and
            nothing new has to be learnt.

    Raises:
        UserError: `auto`, conversations, and the vocabulary holds the tokens of no known family.
    """
    vocabulary = tokenizer.get_vocab()
    chosen, known = _family(family, vocabulary, objective)
    wanted = list(_control_tokens(chosen)) if known else []
    new = [token for token in wanted if token not in vocabulary]
    if new:
        tokenizer.add_special_tokens(
            {"extra_special_tokens": new}, replace_extra_special_tokens=False
        )
    if tags:  # not special: they are words of a reply, and decoding must not leave them out
        more = [token for token in TAGS if token not in vocabulary]
        tokenizer.add_tokens(more)
        new += more
    template = ChatTemplate.formosa(chosen)
    tokenizer.chat_template = template.source
    tokenizer.eos_token = chosen.close if objective == "sft" else end_of_text(tokenizer)
    if chosen.bos and known:
        tokenizer.bos_token = chosen.bos
    new += _set_padding(tokenizer)
    return PreparedTokenizer(chosen, template, tuple(new))


def _family(
    name: FamilyName, vocabulary: dict[str, int], objective: Literal["sft", "cpt"]
) -> tuple[Family, bool]:
    """The family that is written with, and whether its tokens are there or shall be."""
    if name != "auto":
        return FAMILIES[name], True
    try:
        return family_of_vocabulary(vocabulary), True
    except UserError as error:
        if objective == "cpt":  # documents have no turns
            return FAMILIES["chatml"], False
        raise UserError(
            error.message, "set train.family (chatml, say): its tokens are then added"
        ) from error


def _control_tokens(family: Family) -> Iterable[str]:
    found = (family.bos, family.open, family.head.strip(), family.close)
    return (token for token in found if token)


def _set_padding(tokenizer: Any) -> list[str]:
    """A token that ends nothing of this training; added where there is none."""
    vocabulary = tokenizer.get_vocab()
    for token in (tokenizer.pad_token, *PADS):
        if token and token in vocabulary and token != tokenizer.eos_token:
            tokenizer.pad_token = token
            return []
    tokenizer.add_special_tokens({"pad_token": PAD})
    return [PAD]


def prepare_model(
    model: Any,
    tokenizer: Any,
    prepared: PreparedTokenizer,
    *,
    multiple_of: int = 1,
) -> PreparedModel:
    """Give the model rows for the tokenizer's tokens, and first values where they need them.

    Call it before adapters are added and before anything wraps the model, and again for a base
    that adapters are merged into.

    Args:
        model: a causal language model, in place.
        tokenizer: after `prepare_tokenizer`.
        prepared: what that said.
        multiple_of: where the embeddings must grow, to a multiple of it (64 for speed on a GPU).
    """
    import torch

    before = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > before:
        with torch.random.fork_rng(devices=[]):  # the order of the rows must not depend on this
            model.resize_token_embeddings(
                len(tokenizer), pad_to_multiple_of=multiple_of, mean_resizing=False
            )
    after = model.get_input_embeddings().weight.shape[0]
    known = tokenizer.get_vocab()
    wanted = {token: known[token] for token in _with_words(prepared.family) if token in known}
    wanted.update({token: known[token] for token in prepared.added})
    first: dict[str, int] = {}
    for matrix in _matrices(model):
        with torch.no_grad():
            first |= _first_values(matrix.weight, tokenizer, wanted, prepared, before)
    set_special_ids(model, tokenizer)
    return PreparedModel(tuple(first), tuple(sorted(first.values())), after, after - before)


def set_special_ids(model: Any, tokenizer: Any) -> None:
    """One value each for the end of a turn, the padding and the beginning of a text, in the
    model's configuration and in that of its generation."""
    for config in (model.config, model.generation_config):
        config.eos_token_id = tokenizer.eos_token_id
        config.pad_token_id = tokenizer.pad_token_id
        config.bos_token_id = tokenizer.bos_token_id


def adapter_rows(model: Any, prepared: PreparedModel) -> dict[str, Any]:
    """What peft's `LoraConfig` must be told beside the layers: rows that are trained and saved
    though all other embeddings stay frozen. Empty where there is none."""
    if not prepared.ids:
        return {}
    matrices = _matrices(model)
    names = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if any(module is matrix for matrix in matrices)
    }
    ids = list(prepared.ids)
    return {"trainable_token_indices": dict.fromkeys(sorted(names), ids)}


def _matrices(model: Any) -> list[Any]:
    """The input embeddings, and the output's where they have weights of their own."""
    given, taken = model.get_input_embeddings(), model.get_output_embeddings()
    tied = taken is None or taken.weight is given.weight
    return [given] if tied else [given, taken]


def _with_words(family: Family) -> dict[str, str]:
    """Tokens that we need, and the words that describe them."""
    words = {
        family.bos: "beginning of the text",
        family.open: "start of a message",
        family.head.strip(): "end of the role",
        family.close: "end of the message",
        PAD: "padding",
        **TAGS,
    }
    words.pop("", None)
    return words


def _first_values(
    weight: Any, tokenizer: Any, wanted: dict[str, int], prepared: PreparedTokenizer, before: int
) -> dict[str, int]:
    """Fill the rows that need it; which ones."""
    import torch

    parts = weight[:before].split(PART)
    lengths = torch.cat([part.float().norm(dim=1) for part in parts])
    trained = lengths > SMALL * lengths.median()
    chosen = {
        token: row
        for token, row in wanted.items()
        if token in prepared.added
        or row >= before
        or not trained[row]
        or _same_as_another(weight, row, wanted)
    }
    if not chosen and weight.shape[0] == before:
        return {}
    known = torch.split(trained, PART)
    sums = [part[kept].float().sum(dim=0) for part, kept in zip(parts, known, strict=True)]
    mean = torch.stack(sums).sum(dim=0) / trained.sum()
    weight[before:] = mean.to(weight.dtype)  # also those that only fill up to a round number
    words = _with_words(prepared.family)
    texts = encode_texts(tokenizer, [words.get(token, "") for token in chosen])
    values = {}
    for token, ids in zip(chosen, texts, strict=True):
        rows = [i for i in ids if i < before and trained[i]]
        start = weight[rows].float().mean(dim=0) if rows else mean
        values[token] = start + _noise(token, start)
    for token, value in values.items():
        weight[chosen[token]] = value.to(weight.dtype)
    return chosen


def _same_as_another(weight: Any, row: int, wanted: dict[str, int]) -> bool:
    """Whether another of our tokens has the very same row: nothing ever told them apart."""
    import torch

    others = [other for other in wanted.values() if other != row]
    return any(bool(torch.equal(weight[row], weight[other])) for other in others)


def _noise(token: str, value: Any) -> Any:
    """A little of the token's own, the same on every machine."""
    import torch

    seed = int.from_bytes(hashlib.sha256(token.encode()).digest()[:4], "big")
    dice = torch.Generator().manual_seed(seed)
    scale = NOISE * float(value.norm()) / len(value) ** 0.5
    return torch.randn(len(value), generator=dice).to(value.device) * scale
