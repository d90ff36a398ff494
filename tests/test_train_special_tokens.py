"""Tokens that a base lacks or never learnt: added, given first values, trained and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from formosa.chat.message import Message
from formosa.chat.template import FAMILIES
from formosa.errors import DataError, UserError
from formosa.train.special_tokens import (
    PAD,
    PreparedModel,
    PreparedTokenizer,
    adapter_rows,
    prepare_model,
    prepare_tokenizer,
)

pytestmark = pytest.mark.train


def plain_tokenizer() -> Any:
    """Of a base that knows nothing of turns: an end of text, and that is all."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["start of a message, end of the message"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>")


def model_for(rows: int, *, tied: bool) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(4)
    config = LlamaConfig(
        vocab_size=rows,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=tied,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


TIED = pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])


def prepared(*, tied: bool, **options: Any) -> tuple[Any, Any, PreparedTokenizer, PreparedModel]:
    tokenizer = plain_tokenizer()
    model = model_for(len(tokenizer), tied=tied)
    done = prepare_tokenizer(tokenizer, "chatml", **options)
    return model, tokenizer, done, prepare_model(model, tokenizer, done)


def rows(model: Any) -> Any:
    return model.get_input_embeddings().weight.detach()


def test_a_base_without_turns_is_told_which_setting_gives_it_some() -> None:
    with pytest.raises(UserError, match="no known family") as error:
        prepare_tokenizer(plain_tokenizer())
    assert "train.family" in error.value.hint


@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma"])
def test_the_control_tokens_of_a_family_become_one_token_each(family: Any) -> None:
    tokenizer = plain_tokenizer()
    done = prepare_tokenizer(tokenizer, family)
    assert done.template.source == tokenizer.chat_template
    text = done.template.prompt([Message("user", "start")])
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    for token in done.added:
        assert len(tokenizer.encode(token, add_special_tokens=False)) == 1
    wanted = FAMILIES[family]
    assert {wanted.open, wanted.close} <= set(done.added)
    assert done.lines() == [f"added to the vocabulary: {', '.join(done.added)}"]


def test_what_is_there_is_not_added_again(tiny_checkpoint: Path) -> None:
    from formosa.checkpoints import load_tokenizer

    tokenizer = load_tokenizer(tiny_checkpoint, own_format=False)
    before = len(tokenizer)
    done = prepare_tokenizer(tokenizer)
    assert (done.family.name, done.added, done.lines()) == ("chatml", (), [])
    assert len(tokenizer) == before
    own = load_tokenizer(tiny_checkpoint)
    assert (tokenizer.eos_token, tokenizer.pad_token) == (own.eos_token, own.pad_token)
    assert tokenizer.chat_template == own.chat_template


def test_a_second_time_changes_nothing() -> None:
    tokenizer = plain_tokenizer()
    first = prepare_tokenizer(tokenizer, "chatml")
    size = len(tokenizer)
    assert prepare_tokenizer(tokenizer, "auto")._replace(added=first.added) == first
    assert len(tokenizer) == size


def test_tags_are_words_unless_asked_for() -> None:
    tokenizer = plain_tokenizer()
    assert "<tool_call>" not in prepare_tokenizer(tokenizer, "chatml").added
    assert "<tool_call>" in prepare_tokenizer(tokenizer, "chatml", tags=True).added
    ids = tokenizer.encode("<tool_call>", add_special_tokens=False)
    assert len(ids) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<tool_call>", "a word of a reply"


def test_a_text_ends_with_its_own_token_and_a_turn_with_its_own() -> None:
    turn, text = plain_tokenizer(), plain_tokenizer()
    prepare_tokenizer(turn, "chatml")
    prepare_tokenizer(text, "chatml", objective="cpt")
    assert (turn.eos_token, turn.pad_token) == ("<|im_end|>", "<|endoftext|>")
    assert (text.eos_token, text.pad_token) == ("<|endoftext|>", PAD)


def test_documents_need_no_turns() -> None:
    """Continued pre-training of a base without any; a conversation among them is refused."""
    from formosa.train.rows import Conversation, Document, RowEncoder, RowSettings

    tokenizer = plain_tokenizer()
    done = prepare_tokenizer(tokenizer, objective="cpt")
    assert done.added == (PAD,)
    encoder = RowEncoder(tokenizer, done.template, RowSettings("cpt"))
    (outcome,) = encoder.encode([Document("a:1", "the end")])
    assert tokenizer.decode(outcome.rows[0].ids) == "the end<|endoftext|>"
    talk = Conversation("a:2", (Message("user", "hi"), Message("assistant", "yo")), ())
    with pytest.raises(DataError, match="a:2 is a conversation, and the base has no tokens"):
        list(encoder.encode([talk]))


@TIED
def test_stop_padding_and_beginning_are_one_value_in_three_places(tied: bool) -> None:
    model, tokenizer, _, _ = prepared(tied=tied)
    for config in (model.config, model.generation_config):
        assert config.eos_token_id == tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert config.pad_token_id == tokenizer.convert_tokens_to_ids("<|endoftext|>")
        assert config.bos_token_id == tokenizer.bos_token_id


@TIED
def test_new_rows_begin_near_the_words_that_describe_them(tied: bool) -> None:
    import torch

    model, tokenizer, done, made = prepared(tied=tied)
    assert made.tokens == done.added == ("<|im_start|>", "<|im_end|>")
    assert made.grown == 2
    assert made.vocabulary == len(tokenizer) == model.config.vocab_size
    for embeddings in (model.get_input_embeddings(), model.get_output_embeddings()):
        matrix = embeddings.weight.detach()
        words = tokenizer.encode("end of the message", add_special_tokens=False)
        mean = matrix[words].mean(dim=0)
        row = matrix[tokenizer.convert_tokens_to_ids("<|im_end|>")]
        assert float(torch.cosine_similarity(mean, row, dim=0)) > 0.99
        assert not torch.equal(mean, row)
    assert "first values for <|im_start|>, <|im_end|>" in made.lines()[1]


def test_first_values_are_the_same_on_every_machine_and_leave_the_dice_alone() -> None:
    import torch

    torch.manual_seed(1)
    first = rows(prepared(tied=True)[0])
    torch.manual_seed(9)
    model = model_for(len(plain_tokenizer()), tied=True)
    tokenizer = plain_tokenizer()
    done = prepare_tokenizer(tokenizer, "chatml")
    before = torch.random.get_rng_state()
    prepare_model(model, tokenizer, done)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(rows(model), first)


def test_a_base_that_learnt_its_tokens_keeps_them_to_the_bit(tiny_checkpoint: Path) -> None:
    import torch

    from formosa.checkpoints import load_tokenizer, load_weights

    tokenizer = load_tokenizer(tiny_checkpoint, own_format=False)
    model = load_weights(tiny_checkpoint, dtype="bfloat16")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = prepare_model(model, tokenizer, prepare_tokenizer(tokenizer))
    assert (made.tokens, made.ids, made.grown, made.lines()) == ((), (), 0, [])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert adapter_rows(model, made) == {}


@TIED
@pytest.mark.parametrize("what", ["almost nothing", "the same"])
def test_tokens_that_no_text_ever_held_begin_anew(tied: bool, what: str) -> None:
    """As in Llama 3's base, whose header tokens are in the vocabulary and were never trained."""
    import torch

    tokenizer = plain_tokenizer()
    done = prepare_tokenizer(tokenizer, "llama3")._replace(added=())
    model = model_for(len(tokenizer), tied=tied)
    names = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
    ids = [tokenizer.convert_tokens_to_ids(name) for name in names]
    with torch.no_grad():
        row = rows(model)[5].clone() if what == "the same" else torch.full((32,), 1e-6)
        for matrix in (model.get_input_embeddings(), model.get_output_embeddings()):
            matrix.weight[ids] = row
    made = prepare_model(model, tokenizer, done)
    assert set(made.tokens) == set(names)
    assert made.ids == tuple(sorted(ids))
    for matrix in (model.get_input_embeddings(), model.get_output_embeddings()):
        now = matrix.weight.detach()[ids]
        assert float(now.norm(dim=1).min()) > 0.1
        assert len({tuple(value.tolist()) for value in now}) == 3, "they can be told apart"


def test_room_that_the_embeddings_already_have_is_used() -> None:
    """Matrices are often longer than the vocabulary; they are never cut."""
    tokenizer = plain_tokenizer()
    model = model_for(320, tied=True)
    done = prepare_tokenizer(tokenizer, "chatml")
    made = prepare_model(model, tokenizer, done)
    assert (made.vocabulary, made.grown) == (320, 0)
    assert made.tokens == done.added


def test_the_vocabulary_may_be_filled_up_to_a_round_number() -> None:
    import torch

    tokenizer = plain_tokenizer()
    model = model_for(len(tokenizer), tied=True)
    done = prepare_tokenizer(tokenizer, "chatml")
    made = prepare_model(model, tokenizer, done, multiple_of=64)
    assert made.vocabulary % 64 == 0
    spare = rows(model)[len(tokenizer) :]
    assert torch.equal(spare, spare[:1].expand_as(spare)), "nobody's rows are nobody's dice"


@TIED
def test_with_adapters_the_new_rows_are_trained_saved_and_merged(
    tied: bool, tmp_path: Path
) -> None:
    """Else they would stay at their first values for ever, or be lost with the run."""
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model

    from formosa.checkpoints import quiet_transformers

    model, tokenizer, done, made = prepared(tied=tied)
    frozen = rows(model)[: made.ids[0]].clone()
    settings = {"r": 2, "target_modules": "all-linear", "task_type": "CAUSAL_LM"}
    with quiet_transformers():
        adapted = get_peft_model(model, LoraConfig(**settings, **adapter_rows(model, made)))
    optimizer = torch.optim.SGD((p for p in adapted.parameters() if p.requires_grad), lr=1.0)
    ids = torch.tensor([[5, *made.ids, 7, *made.ids]])
    adapted(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    with torch.no_grad(), quiet_transformers():
        wanted = adapted(input_ids=ids).logits
        adapted.save_pretrained(tmp_path, save_embedding_layers=False)
        again = model_for(made.vocabulary - made.grown, tied=tied)
        assert prepare_model(again, tokenizer, done) == made
        start = rows(again)[list(made.ids)].clone()
        merged = PeftModel.from_pretrained(again, tmp_path).merge_and_unload()
        torch.testing.assert_close(merged(input_ids=ids).logits, wanted, rtol=1e-4, atol=1e-4)
    after = rows(merged)
    assert not torch.allclose(after[list(made.ids)], start), "they have learnt"
    assert torch.equal(after[: made.ids[0]], frozen), "the others have not"
