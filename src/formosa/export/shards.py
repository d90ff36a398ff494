"""Weights in one safetensors file or several, a tensor at a time.

Files are opened for one tensor and closed again, so that no more of them stays in memory than what
is being looked at. New ones are written in parts of bounded size, which is all that is held.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from formosa.errors import ModelError
from formosa.files import explain_os_error, write_json

PART = 1 << 30  # bytes of weights in one file that is written


class Shards:
    """The tensors of a checkpoint folder, by name.

    Attributes:
        shapes: of every tensor, in the order of the files.

    Raises:
        ModelError: no safetensors, or a damaged file.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError, safe_open

        self._where: dict[str, Path] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ModelError(f"{folder} holds no safetensors.")
        for file in files:
            try:
                with safe_open(file, framework="pt") as opened:
                    for name in opened.keys():  # noqa: SIM118 - safetensors' object is no dict
                        self._where[name] = file
                        self.shapes[name] = tuple(opened.get_slice(name).get_shape())
            except SafetensorError as error:
                raise ModelError(
                    f"{file} is no whole safetensors file: {error}.", "fetch or train it again"
                ) from error

    def read(self, name: str) -> Any:
        """One tensor of torch, as it is stored."""
        from safetensors import safe_open

        with safe_open(self._where[name], framework="pt") as opened:
            return opened.get_tensor(name)


def write_shards(folder: Path, tensors: Iterable[tuple[str, Any]], *, part: int = PART) -> None:
    """Write tensors as `model-00001-of-0000N.safetensors` and an index, or as one file.

    Args:
        folder: is there, and empty of safetensors.
        tensors: names and tensors of torch; taken one by one.
        part: a file ends before it would hold more bytes than this.

    Raises:
        UserError: the disk is full.
    """
    from safetensors.torch import save_file

    held: dict[str, Any] = {}
    files: list[Path] = []
    where: dict[str, int] = {}
    size = total = 0

    def let_go() -> None:
        nonlocal size
        path = folder / f".part-{len(files)}.writing"
        where.update(dict.fromkeys(held, len(files)))
        files.append(path)
        save_file(held, path, metadata={"format": "pt"})
        held.clear()
        size = 0

    try:
        for name, tensor in tensors:
            more = tensor.numel() * tensor.element_size()
            if held and size + more > part:
                let_go()
            held[name] = tensor.contiguous()
            size, total = size + more, total + more
        let_go()
        names = ["model.safetensors"]
        if len(files) > 1:
            names = [f"model-{n:05}-of-{len(files):05}.safetensors"
                     for n in range(1, len(files) + 1)]  # fmt: skip
        for path, new in zip(files, names, strict=True):
            path.rename(folder / new)
    except OSError as error:
        raise explain_os_error(error, folder) from error
    finally:
        for path in files:
            path.unlink(missing_ok=True)
    if len(files) > 1:
        weight_map = {name: names[number] for name, number in sorted(where.items())}
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_json(folder / "model.safetensors.index.json", index)
