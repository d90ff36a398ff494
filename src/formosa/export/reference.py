"""The checkpoint itself, as what an exported file is measured against: transformers, float32.

A large model in float32 would need twice the memory of its files. So its weights stay in the files:
each module reads its own when it runs, widens them and lets them go. That gives the same numbers (a
bfloat16 number is a float32 number) in the memory of the largest matrix. It is slower, since they
are read for every text, and therefore only done where the files are large.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from formosa.checkpoints import load_tokenizer, load_weights, quiet_transformers
from formosa.export.shards import Shards

LARGE = 2 << 30  # bytes of safetensors from which on modules are read one at a time
WINDOW = 256  # tokens of the fixed text that are read

# What a model of this kind reads: both languages, a call, numbers, code. Ours, so that it may be
# shipped; no benchmark has it.
TEXT = """\
臺灣位於東亞，四面環海，中央山脈縱貫南北。早晨的市場裡，攤販把剛採收的芭樂、釋迦和香蕉擺在竹籃裡，\
客人一面挑一面問價錢。「今天的高麗菜一顆四十五元，兩顆算你八十。」老闆娘笑著說。
The harbour of Keelung is known for its rain: on average it falls on two days out of three. Ships \
leave for the islands in the morning, and come back with fish before the evening market opens.
問：從臺北搭高鐵到左營大約要多久？答：最快的班次約一小時三十四分鐘。
{"name": "get_weather", "arguments": {"city": "臺中", "days": 3, "unit": "celsius"}}
def total(prices):
    return sum(price * 1.05 for price in prices)
If 12 apples cost 96 dollars, one apple costs 96 / 12 = 8 dollars, and 7 of them cost 56 dollars.
"""


class Reference:
    """One checkpoint; its weights are loaded when they are first asked for.

    Attributes:
        checkpoint: its folder.
        measured: what was found of files that were compared with it, by path.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.measured: dict[Path, Any] = {}

    @cached_property
    def tokenizer(self) -> Any:
        """As the checkpoint has it."""
        return load_tokenizer(self.checkpoint, own_format=False)

    @cached_property
    def model(self) -> Any:
        size = sum(path.stat().st_size for path in self.checkpoint.glob("*.safetensors"))
        if size < LARGE:
            return load_weights(self.checkpoint, dtype="float32").eval()
        return read_while_running(self.checkpoint)

    @cached_property
    def ids(self) -> list[int]:
        """The fixed text, as the model is used to reading: from its first token on."""
        ids = self.tokenizer.encode(TEXT, add_special_tokens=False)
        family_first = self.tokenizer.bos_token_id
        first = [] if family_first is None else [family_first]
        return [*first, *ids][:WINDOW]

    @cached_property
    def log_probabilities(self) -> Any:
        """Of every token, after each token of the fixed text: a numpy array, float32."""
        return self.logits(self.ids).log_softmax(dim=-1).numpy()

    def logits(self, ids: Sequence[int], last: int | None = None) -> Any:
        """What the checkpoint thinks comes after each of the tokens, or after the `last` ones."""
        import torch

        with torch.no_grad():
            found = self.model(
                input_ids=torch.tensor([list(ids)]), use_cache=False, logits_to_keep=last or 0
            )
        return found.logits[0].float()


def read_while_running(checkpoint: Path) -> Any:
    """The model of a folder without its weights: each module reads its own when it runs."""
    import torch
    from accelerate import init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    with quiet_transformers(), init_empty_weights(include_buffers=False):
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    shards = Shards(checkpoint)
    matrices = {module: name for name, module in model.named_modules()}
    embedding = f"{matrices[model.get_input_embeddings()]}.weight"

    def source(name: str) -> str:
        """A head that shares the embedding matrix has none in the files."""
        return name if name in shards.shapes else embedding

    def read(module: Any, _: Any) -> None:
        for name in empty[module]:
            weight = shards.read(source(f"{matrices[module]}.{name}")).float()
            setattr(module, name, torch.nn.Parameter(weight, requires_grad=False))

    def let_go(module: Any, _: Any, __: Any) -> None:
        for name, nothing in empty[module].items():
            setattr(module, name, nothing)

    empty = {
        module: own for module in matrices if (own := dict(module.named_parameters(recurse=False)))
    }
    for module in empty:
        module.register_forward_pre_hook(read)
        module.register_forward_hook(let_go, always_call=True)
    return model
