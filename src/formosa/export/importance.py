"""Which columns of a matrix matter: the mean square of what meets each of them, on a text.

llama.cpp calls it an importance matrix (imatrix). Rounding to few bits then spends its error where
little is multiplied with it. The checkpoint reads a text in float32, and every linear layer notes
what comes in; nothing is trained, and the file stays what llama.cpp reads anywhere.

The text should be what the model will read: for a run, its training rows. It must not be what the
file is judged by afterwards. docs/export.md says what it gains; Q8_0 and whole numbers take no
notice of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

from formosa.errors import ModelError
from formosa.export.reference import Reference
from formosa.files import sha256_text

TOKENS = 16_384  # that are read
WINDOW = 256  # tokens at once
_LEAST = 1e-4  # of the mean: a column that met nothing is not thrown away altogether


class Importance(NamedTuple):
    """What was noted.

    Attributes:
        columns: for each matrix of the checkpoint, by the name of its tensor: one float32 number
            for each column, a numpy array.
        tokens: that were read.
        sha256: of the text.
    """

    columns: Mapping[str, Any]
    tokens: int
    sha256: str

    def about(self) -> dict[str, str | int | list[str]]:
        """What a file's header says of it; the first is llama.cpp's own key."""
        return {
            "quantize.imatrix.entries_count": len(self.columns),
            "formosa.importance.tokens": self.tokens,
            "formosa.importance.sha256": self.sha256,
        }


def importance(
    reference: Reference,
    texts: Iterable[str],
    *,
    tokens: int = TOKENS,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Importance:
    """Let a checkpoint read texts until there are enough tokens.

    Args:
        reference: the checkpoint.
        texts: control tokens in them are read as such.
        tokens: at most so many.
        progress: told how many were read.

    Raises:
        ModelError: there is no text.
    """
    sums: dict[str, Any] = {}
    read, used = 0, []
    with ExitStack() as hooks:
        for name, module in reference.model.named_modules():
            if type(module).__name__ == "Linear":
                hooks.enter_context(_Noting(module, f"{name}.weight", sums))
        for text in texts:
            used.append(text)
            ids = reference.tokenizer.encode(text, add_special_tokens=False)[: tokens - read]
            for start in range(0, len(ids), WINDOW):
                window = ids[start : start + WINDOW]
                reference.logits(window)
                read += len(window)
                progress(read, tokens)
            if read >= tokens:
                break
    if not read:
        raise ModelError("The text for the importance of columns is empty.")
    columns = {}
    for name, total in sums.items():
        mean = total / read
        columns[name] = mean.clamp_min(float(mean.mean()) * _LEAST).float().numpy()
    return Importance(columns, read, sha256_text("\0".join(used)))


class _Noting:
    """Sums the squares of what comes into a linear layer, while it is entered."""

    def __init__(self, module: Any, name: str, sums: dict[str, Any]) -> None:
        self._module, self._name, self._sums = module, name, sums

    def __enter__(self) -> None:
        self._hook = self._module.register_forward_pre_hook(self._note)

    def __exit__(self, *_: object) -> None:
        self._hook.remove()

    def _note(self, module: Any, given: tuple[Any, ...]) -> None:
        rows = given[0].detach().reshape(-1, given[0].shape[-1]).double()
        total = (rows**2).sum(dim=0)
        before = self._sums.get(self._name)
        self._sums[self._name] = total if before is None else before + total


def columns_of(tensor: str, columns: Mapping[str, Any]) -> Any | None:
    """Those of a tensor of a checkpoint; an embedding that is the output too has the output's."""
    if tensor in columns:
        return columns[tensor]
    tied = tensor.endswith("embed_tokens.weight")
    return columns.get("lm_head.weight") if tied else None
