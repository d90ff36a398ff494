"""A folder made from a GGUF file says what the file says: same ids, same stop, same cache."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from formosa.checkpoints import (
    PROVENANCE,
    checkpoint_folder,
    family_of,
    load_tokenizer,
    load_weights,
    provenance,
)
from formosa.engines.llama import LlamaEngine
from formosa.errors import ModelError, UserError
from formosa.models import Model, resolve
from formosa.train.special_tokens import set_special_ids

pytestmark = pytest.mark.train

TEXTS = [
    "2024 年 12 月 31 日，12:05，NT$1,234,567.89；ISBN 978-986-1234-56-7",
    "台北的天氣如何？請查詢明天的氣溫，謝謝！「鬱、龜、簞」與 ㄅㄆㄇ、ａｂｃ",
    "👩‍👩‍👧‍👦 🇹🇼 family, café vs café, \u200b\ufeff zero width, 𠮷野家",
    "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<tool_call>\n"
    '{"name": "get_weather", "arguments": {"city": "台北", "days": 3}}\n</tool_call><|im_end|>\n',
    "  two  spaces\n\n\ttabs\r\nlines   \n",
    "<|im_start| >user <|endoftext|> don't I'LL we've x=1e-3",
    "",
]


@pytest.fixture(scope="module")
def smollm() -> Path:
    return checkpoint_folder(resolve("smollm2-135m"))


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaEngine]:
    made = LlamaEngine(resolve("smollm2-135m").path, context=256)
    yield made
    asyncio.run(made.aclose())


@pytest.mark.model
@pytest.mark.parametrize("own_format", [True, False])
def test_an_unpacked_model_has_llama_cpps_token_ids(
    smollm: Path, engine: LlamaEngine, own_format: bool
) -> None:
    """transformers alone reads `2024` as one token: the file only names the rules for digits."""
    tokenizer = load_tokenizer(smollm, own_format=own_format)

    async def theirs() -> list[list[int]]:
        return [await engine.tokenize(text) for text in TEXTS]

    expected = asyncio.run(theirs())
    assert [tokenizer.encode(text, add_special_tokens=False) for text in TEXTS] == expected
    year = tokenizer.encode("2024", add_special_tokens=False)
    assert len(year) == 4


@pytest.mark.model
def test_one_stop_token_in_tokenizer_and_both_configurations(smollm: Path) -> None:
    tokenizer = load_tokenizer(smollm)
    model = load_weights(smollm, dtype="bfloat16")
    set_special_ids(model, tokenizer)
    stop = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert tokenizer.eos_token_id == stop
    assert model.config.eos_token_id == stop
    assert model.generation_config.eos_token_id == stop
    # A pad that ended turns would teach the model never to stop, or stop a padded prompt at once.
    assert tokenizer.pad_token_id != stop
    assert model.config.pad_token_id == model.generation_config.pad_token_id
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert family_of(tokenizer).name == "chatml"


@pytest.mark.model
def test_an_unpacked_model_tells_where_it_came_from(smollm: Path) -> None:
    model = resolve("smollm2-135m")
    about = provenance(smollm)
    assert about["made_from"] == {"sha256": model.sha256(), "name": "smollm2-135m"}
    assert (about["architecture"], about["pre_tokenizer"]) == ("llama", "smollm")
    assert any(smollm.glob("*.safetensors"))
    assert not any(smollm.glob("*.bin"))


# -- the cache, with a tiny model -----------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny_gguf(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from formosa.export.gguf import write_gguf

    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return write_gguf(tiny_checkpoint, path, "F16", name="tiny")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def model_of(path: Path) -> Model:
    return Model(path.stem, "gguf", path)


def test_a_folder_is_its_own_checkpoint(tmp_path: Path, cache: Path) -> None:
    assert checkpoint_folder(Model("x", "folder", tmp_path)) == tmp_path
    assert not cache.exists()
    assert provenance(tmp_path) == {}


def test_what_was_exported_comes_back_the_same(
    tiny_checkpoint: Path, tiny_gguf: Path, cache: Path
) -> None:
    import torch

    folder = checkpoint_folder(model_of(tiny_gguf))
    before, after = load_tokenizer(tiny_checkpoint), load_tokenizer(folder)
    for text in TEXTS:
        ids = before.encode(text, add_special_tokens=False)
        assert after.encode(text, add_special_tokens=False) == ids
    wanted = load_weights(tiny_checkpoint, dtype="float32").state_dict()
    found = load_weights(folder, dtype="float32").state_dict()
    assert wanted.keys() == found.keys()
    for name, tensor in wanted.items():
        assert torch.allclose(tensor, found[name], atol=1e-3), name


def test_the_cached_folder_is_used_again(tiny_gguf: Path, cache: Path) -> None:
    said: list[str] = []
    folder = checkpoint_folder(model_of(tiny_gguf), say=said.append)
    assert said == ["tiny: unpacking the quantised weights, once"]
    written = (folder / PROVENANCE).stat().st_mtime_ns
    assert checkpoint_folder(model_of(tiny_gguf), say=said.append) == folder
    assert len(said) == 1
    assert (folder / PROVENANCE).stat().st_mtime_ns == written


def test_other_weights_of_the_same_name_get_another_folder(
    tiny_gguf: Path, tmp_path: Path, cache: Path
) -> None:
    first = checkpoint_folder(model_of(tiny_gguf))
    other = tmp_path / "tiny.gguf"
    other.write_bytes(tiny_gguf.read_bytes() + b"\0" * 32)
    assert checkpoint_folder(model_of(other)) != first


def test_an_interrupted_unpacking_is_done_again(tiny_gguf: Path, cache: Path) -> None:
    folder = checkpoint_folder(model_of(tiny_gguf))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / PROVENANCE).unlink()  # it is written last
    (folder / "model.safetensors").write_bytes(whole[:1000])
    (folder / "leftover").write_text("of the killed process")
    assert checkpoint_folder(model_of(tiny_gguf)) == folder
    assert (folder / "model.safetensors").read_bytes() == whole
    assert not (folder / "leftover").exists()
    assert (folder / PROVENANCE).exists()


CHILD = """
import fcntl, sys
from pathlib import Path
lock = open(sys.argv[1], "wb")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.readline()
folder = Path(sys.argv[1].removesuffix(".lock"))
folder.mkdir()
Path(folder, "formosa.json").write_text("{}")
"""


def test_a_second_process_waits_for_the_one_that_unpacks(tiny_gguf: Path, cache: Path) -> None:
    """Both would write the same folder. The other one's result is then taken as it is."""
    folder = checkpoint_folder(model_of(tiny_gguf))
    folder.rename(folder.with_name("away"))
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, f"{folder}.lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin and child.stdout
        assert child.stdout.readline() == "locked\n"
        child.stdin.write("go on\n")
        child.stdin.flush()
        said: list[str] = []
        assert checkpoint_folder(model_of(tiny_gguf), say=said.append) == folder
        assert said == []
    assert [path.name for path in folder.iterdir()] == [PROVENANCE]


# -- files that can't be unpacked -----------------------------------------------------------------


def small_gguf(path: Path, architecture: str, pre: str) -> Path:
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(["a", "b"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_an_unknown_pre_tokenizer_is_refused(tmp_path: Path, cache: Path) -> None:
    """Rather than trained on wrong token ids."""
    path = small_gguf(tmp_path / "m.gguf", "llama", "qwen9")
    with pytest.raises(ModelError) as caught:
        checkpoint_folder(model_of(path))
    assert caught.value.message == "m.gguf uses an unknown pre-tokenizer, 'qwen9'."
    assert "original checkpoint folder" in caught.value.hint
    assert not list(cache.rglob(PROVENANCE))


def test_an_unknown_architecture_is_one_sentence(tmp_path: Path, cache: Path) -> None:
    path = small_gguf(tmp_path / "m.gguf", "no-such-architecture", "smollm")
    with pytest.raises(ModelError) as caught:
        checkpoint_folder(model_of(path))
    assert caught.value.message.startswith("transformers can't unpack m.gguf: ")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("size", [0, 3, 30, 2000])
def test_a_cut_off_file_is_one_sentence(
    tiny_gguf: Path, tmp_path: Path, cache: Path, size: int
) -> None:
    path = tmp_path / "cut.gguf"
    path.write_bytes(tiny_gguf.read_bytes()[:size])
    with pytest.raises(ModelError) as caught:
        checkpoint_folder(model_of(path))
    assert caught.value.message.startswith(f"{path} is not a whole GGUF file: ")


def test_a_cache_that_cannot_be_written_is_one_sentence(
    tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FORMOSA_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError) as caught:
        checkpoint_folder(model_of(tiny_gguf))
    assert caught.value.message.startswith("Cannot write ")


# -- tokenizers -----------------------------------------------------------------------------------


def edited(folder: Path, target: Path, remove: tuple[str, ...]) -> Path:
    """A copy of a tokenizer that lacks some of its tokens."""
    value: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    value["added_tokens"] = [t for t in value["added_tokens"] if t["content"] not in remove]
    vocabulary = value["model"]["vocab"]
    value["model"]["vocab"] = {
        f"x{number}" if token in remove else token: number for token, number in vocabulary.items()
    }
    target.mkdir()
    (target / "tokenizer.json").write_text(json.dumps(value), encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    kept = {k: v for k, v in settings.items() if v not in remove and k != "extra_special_tokens"}
    (target / "tokenizer_config.json").write_text(json.dumps(kept), encoding="utf-8")
    return target


def test_the_pad_token_never_ends_a_turn(tiny_checkpoint: Path, tmp_path: Path) -> None:
    from tiny import tiny_tokenizer

    folder = tmp_path / "tokenizer"
    original = tiny_tokenizer()
    assert original.pad_token == original.eos_token == "<|im_end|>"  # as many published ones are
    original.save_pretrained(folder)
    tokenizer = load_tokenizer(folder)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|endoftext|>")


def test_a_tokenizer_that_can_pad_with_nothing_is_refused(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    folder = edited(tiny_checkpoint, tmp_path / "t", remove=("<|endoftext|>",))
    with pytest.raises(UserError) as caught:
        load_tokenizer(folder)
    assert caught.value.message == "The tokenizer has no token that could pad a batch."


def test_a_tokenizer_of_no_known_family_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = edited(tiny_checkpoint, tmp_path / "t", remove=("<|im_start|>", "<|im_end|>"))
    with pytest.raises(UserError) as caught:
        load_tokenizer(folder)
    assert "no known family" in caught.value.message
