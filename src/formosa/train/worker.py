"""One of several processes that train together: `python -m formosa.train.worker JOB.json`.

Started by launch.py through `accelerate launch`, or by any torchrun. The first process reads the
job and hands it to the others through the launcher's store, so only its machine needs the file.
What it says goes to standard output as lines of JSON; the others are silent until they fail.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

from formosa.errors import FormosaError, UserError
from formosa.files import read_json
from formosa.train.config import TrainConfig
from formosa.train.launch import WATCHED

KEY = "formosa/job"  # in the launcher's store
PATIENCE = timedelta(minutes=30)  # for the first process to hand the job over


def main(arguments: list[str]) -> int:
    """Train as the job says; the exit code."""
    rank = int(os.environ.get("RANK", "0"))
    if os.environ.get(WATCHED):
        threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        if len(arguments) != 1:
            raise UserError("Name one job: python -m formosa.train.worker JOB.json")
        _train(_job(Path(arguments[0]), rank), rank)
    except FormosaError as error:
        _tell(formosa="failed", rank=rank, user=True, message=error.message, hint=error.hint)
        return 1
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        _tell(formosa="failed", rank=rank, user=False, message=text, hint="")
        return 1
    return 0


def _train(job: dict[str, Any], rank: int) -> None:
    from formosa.train.run import train

    for name in ("base", "rows", "folder"):
        if not Path(job[name]).exists():
            raise UserError(
                f"The machine of process {rank} has no {job[name]}.",
                "run in a folder that all machines share, with the same cache (FORMOSA_HOME, "
                "HF_HOME)",
            )
    first = rank == 0
    train(
        TrainConfig.model_validate(job["config"]),
        base=Path(job["base"]),
        rows=Path(job["rows"]),
        heldout=Path(job["heldout"]),
        folder=Path(job["folder"]),
        smoke=job["try_first"],
        say=lambda line: _tell(formosa="say", line=line) if first else None,
        progress=lambda step, steps, loss: (
            _tell(formosa="progress", step=step, steps=steps, loss=loss) if first else None
        ),
    )


def _job(path: Path, rank: int) -> dict[str, Any]:
    """The job: from the file in the first process, from the first process in the others."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return dict(read_json(path))
    from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported all the same

    store = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        timeout=PATIENCE,
    )
    if rank == 0:
        job = dict(read_json(path))
        store.set(KEY, json.dumps(job))
        return job
    return dict(json.loads(store.get(KEY)))


def _tell(**event: Any) -> None:
    """One line in one write, so that lines of several processes don't mix."""
    text = json.dumps(event, ensure_ascii=False)
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """Standard input ends when the process that launched us does."""
    while os.read(0, 4096):
        pass
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
