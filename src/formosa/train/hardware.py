"""What this machine offers a training: device, how many, bfloat16, and whether torch can use it.

A torch built for CPUs on a machine with a GPU trains a hundred times slower and says nothing. So
the driver's own tool is asked too, and a GPU that torch can't see is a refusal, not a fallback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from typing import Literal, NamedTuple

from formosa.errors import UserError

SMI_SECONDS = 20  # a driver that hangs longer is no driver


class Hardware(NamedTuple):
    """Devices of this machine that torch can compute on."""

    kind: Literal["cpu", "cuda"]
    devices: int  # GPUs, or 1
    name: str  # of the first one
    bfloat16: bool


def detect() -> Hardware:
    """The hardware as torch sees it.

    Raises:
        UserError: the driver lists a GPU that torch can't see.
    """
    import torch

    if torch.cuda.is_available():
        return Hardware(
            "cuda",
            torch.cuda.device_count(),
            torch.cuda.get_device_name(0),
            torch.cuda.is_bf16_supported(including_emulation=False),
        )
    if gpus := gpus_of_driver():
        raise UserError(
            f"This machine has {gpus[0]}, but torch {torch.__version__} can't see it.",
            "install a torch built for it (https://pytorch.org/get-started), or train on the "
            "processor on purpose: CUDA_VISIBLE_DEVICES=-1 formosa …",
        )
    return Hardware("cpu", 1, "cpu", True)


def gpus_of_driver(environment: Mapping[str, str] | None = None) -> list[str]:
    """Names that `nvidia-smi` lists; none where the person hid the GPUs."""
    environment = os.environ if environment is None else environment
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1", "none"):
        return []
    command = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if command is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603 - the driver's own tool, no words of others
            [command, "-L"], capture_output=True, text=True, timeout=SMI_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if done.returncode:
        return []
    # "GPU 0: NVIDIA H200 (UUID: GPU-…)"
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [line.split(":", 1)[-1].split("(UUID")[0].strip() for line in lines]
