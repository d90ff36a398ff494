"""The checkpoint itself, as what an exported file is measured against: transformers, float32.

A large model in float32 would need twice the memory of its files. So its weights stay in bfloat16
and each module is widened only while it runs, which gives the same numbers: a bfloat16 number is a
float32 number. It is slower, and therefore only done where the files are large.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from formosa.checkpoints import load_tokenizer, load_weights

LARGE = 2 << 30  # bytes of safetensors from which on modules are widened one at a time
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
        model = load_weights(self.checkpoint, dtype="bfloat16").eval()
        widen_while_running(model)
        return model

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


def widen_while_running(model: Any) -> None:
    """Make each module of a bfloat16 model compute in float32, in place."""
    import torch

    def widen(module: Any, _: Any) -> None:
        module.narrow = {
            name: weight.data
            for name, weight in module.named_parameters(recurse=False)
            if weight.dtype != torch.float32
        }
        for name, data in module.narrow.items():
            getattr(module, name).data = data.float()

    def narrow(module: Any, _: Any, __: Any) -> None:
        for name, data in module.narrow.items():
            getattr(module, name).data = data
        del module.narrow

    for module in model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_pre_hook(widen)
            module.register_forward_hook(narrow, always_call=True)
