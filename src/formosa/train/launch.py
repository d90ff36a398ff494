"""Start a training in several processes, on one machine or many, and hear what became of it.

Knows the command (`accelerate launch`, which ends in torch's own torchrun) and the words between
this process and the ones that train. Knows nothing of training: that is worker.py, in each of them.

    this process ──starts──▶ accelerate launch ──starts──▶ N × python -m formosa.train.worker
         ▲                                                         │
         └──────────────── lines of JSON on standard output ───────┘

Standard error of all of them goes to FOLDER/train/launch.log. Their standard input is a pipe whose
other end this process holds: when it dies, even by kill -9, they see its end and stop, so that no
forgotten training writes into a folder that is being continued.

On another machine than the first nothing is prepared: its processes are told what to do by the
first machine, over the network, and read the same folder (a shared file system).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from formosa.errors import UserError
from formosa.files import explain_os_error, write_json
from formosa.train.config import TrainConfig
from formosa.train.log import Progress
from formosa.wheels import Say

WATCHED = "FORMOSA_LAUNCHED"  # set for processes whose standard input tells that we are alive
LEFTOVERS = (  # of another launch: they would make accelerate do something else
    "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_CPU",
    "ACCELERATE_MIXED_PRECISION", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE",
    "MASTER_ADDR", "MASTER_PORT",
)  # fmt: skip
SETTINGS = "accelerate.json"  # beside the job
GRACE = 20.0  # seconds between asking processes to end and ending them


PLAIN = {  # accelerate's own settings: none, the recipe has them
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_GPU",
    "mixed_precision": "no",
    "use_cpu": False,
    "debug": False,
    "num_processes": 1,
    "num_machines": 1,
    "machine_rank": 0,
    "gpu_ids": "all",
    "main_process_ip": None,
    "main_process_port": None,
    "main_training_function": "main",
    "same_network": True,
    "rdzv_backend": "static",
}


@dataclass(frozen=True)
class Launch:
    """How many processes, and where."""

    processes: int  # over all machines
    machines: int = 1
    machine_rank: int = 0
    main_address: str = ""  # HOST:PORT of the first machine; needed for several
    accelerate_config: Path | None = None  # its own settings, in place of the recipe's

    def __post_init__(self) -> None:
        if self.processes < 2 and self.accelerate_config is None:
            raise UserError(
                f"--launch accelerate with {self.processes} process shares nothing.",
                "leave --launch out, or say --processes N",
            )
        if self.processes % self.machines:
            raise UserError(
                f"{self.processes} processes can't be spread evenly over {self.machines} machines."
            )
        if not 0 <= self.machine_rank < self.machines:
            raise UserError(
                f"--machine-rank {self.machine_rank} is not one of {self.machines} machines.",
                "count from 0: the first machine is 0",
            )
        if self.machines > 1 and not re.fullmatch(r".+:\d+", self.main_address):
            raise UserError(
                "Several machines need the address of the first one.",
                "add --main-address HOST:PORT, the same on every machine",
            )

    def command(self, job: Path) -> list[str]:
        """The words that start this machine's processes."""
        host, _, port = self.main_address.rpartition(":")
        words = [sys.executable, "-m", "accelerate.commands.launch"]
        if self.accelerate_config:
            words += ["--config_file", str(self.accelerate_config)]
        else:
            # A file all the same: without one accelerate takes the person's default file, if there
            # is one, and with it whatever another training wanted.
            words += ["--config_file", str(job.with_name(SETTINGS))]
            # Also on a CPU: it only chooses torchrun. With --cpu accelerate would start one
            # process, whatever the number, unless mpirun is there.
            words += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
        words += ["--num_processes", str(self.processes), "--num_machines", str(self.machines)]
        words += ["--machine_rank", str(self.machine_rank)]
        if self.machines > 1:
            words += ["--main_process_ip", host, "--main_process_port", port, "--same_network"]
        else:
            words += ["--main_process_port", port or "0"]  # 0: any free one
        return [*words, "--module", "formosa.train.worker", str(job)]


def write_job(
    folder: Path,
    config: TrainConfig,
    *,
    base: Path,
    rows: Path,
    heldout: Path,
    try_first: bool = False,
) -> Path:
    """What every process has to do, as FOLDER/train/job.json."""
    path = folder / "train" / "job.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        path,
        {
            "schema": 1,
            "config": config.model_dump(mode="json"),
            "base": str(base.resolve()),
            "rows": str(rows.resolve()),
            "heldout": str(heldout.resolve()),
            "folder": str(folder.resolve()),
            "try_first": try_first,
        },
    )
    return path


def launch(how: Launch, job: Path, *, say: Say, progress: Progress) -> None:
    """Run the job in all processes of this machine, and wait.

    Args:
        how: processes and machines.
        job: the file of `write_job`; only the first machine's need exist.
        say: gets the lines of the first process.
        progress: called after every step.

    Raises:
        UserError: a process failed; one sentence says which and why.
    """
    log = job.with_name("launch.log")
    if how.machine_rank:
        log = job.with_name(f"launch-{how.machine_rank}.log")
    command = how.command(job)
    say(f"starting {how.processes // how.machines} processes; their log is {log}")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        write_json(job.with_name(SETTINGS), PLAIN)
        errors = log.open("ab")
    except OSError as error:
        raise explain_os_error(error, log) from error
    story = _Story(how)
    with errors, _processes(command, _environment(how), errors) as running:
        assert running.stdout is not None
        begun = errors.tell()
        for line in running.stdout:
            if not story.hear(line, say, progress):
                errors.write(line)
                errors.flush()
        code = running.wait()
    if code:
        with log.open("rb") as file:
            file.seek(begun)
            raise story.sentence(code, file.read().decode("utf-8", "replace"), log)


def wait_for_first_machine(how: Launch, minutes: float, *, say: Say) -> None:
    """On another machine: wait until the first one has begun to listen.

    Raises:
        UserError: it didn't within `minutes`.
    """
    host, _, port = how.main_address.rpartition(":")
    say(f"waiting for the first machine at {how.main_address}")
    end = time.monotonic() + 60 * minutes
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(
                    f"The first machine at {how.main_address} did not begin within {minutes:g} "
                    f"minutes: {error}.",
                    "prepare the data before: formosa run RECIPE --until data; then start all "
                    "machines together",
                ) from error
            time.sleep(1)


@contextlib.contextmanager
def _processes(
    command: list[str], environment: dict[str, str], errors: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher and everything it starts; they end with this block."""
    running = subprocess.Popen(  # noqa: S603 - our own interpreter and our own module
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,  # Ctrl-C is ours to pass on, once
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.terminate()
            try:
                running.wait(GRACE)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(running.pid, signal.SIGKILL)
                running.wait()
        for pipe in (running.stdin, running.stdout):
            if pipe is not None:
                pipe.close()


def _environment(how: Launch) -> dict[str, str]:
    from formosa.processor import usable_cores

    values = {key: value for key, value in os.environ.items() if key not in LEFTOVERS}
    values[WATCHED] = "1"
    # torchrun would set one thread; many more threads than cores are worse still.
    local = max(1, how.processes // how.machines)
    values.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // local)))
    values.setdefault("PYTHONUNBUFFERED", "1")
    return values


@dataclass
class _Story:
    """What the processes said."""

    how: Launch
    failed: list[dict[str, Any]] = field(default_factory=list)

    def hear(self, line: bytes, say: Say, progress: Progress) -> bool:
        """Take a line in; false if it is none of ours."""
        try:
            event = json.loads(line)
        except ValueError:
            return False
        if not isinstance(event, dict) or "formosa" not in event:
            return False
        kind = event["formosa"]
        if kind == "say":
            say(event["line"])
        elif kind == "progress":
            progress(event["step"], event["steps"], event["loss"])
        elif kind == "failed":
            self.failed.append(event)
        return True

    def sentence(self, code: int, log: str, path: Path) -> UserError:
        """One error for all that went wrong. What the person can mend comes first, then a process
        that was killed, then the first that failed: the others only lost their partner."""
        hint = f"the whole story is at the end of {path}"
        for event in self.failed:
            if event["user"]:
                return UserError(event["message"], event["hint"])
        for rank, ended in _ended(log):
            if ended < 0 and -ended != signal.SIGTERM:
                name = signal.Signals(-ended).name
                return UserError(
                    f"Process {rank} of {self.how.processes} was killed ({name}); the others "
                    "were stopped. Too little memory is the usual reason.",
                    "the same command continues from the last checkpoint; `formosa train plan "
                    "RECIPE` shows what a process needs",
                )
        if self.failed:
            first = self.failed[0]
            return UserError(
                f"Process {first['rank']} of {self.how.processes} failed: {first['message']}", hint
            )
        lines = [line for line in log.splitlines() if line.strip()]
        last = f": {lines[-1].strip()}" if lines else "."
        return UserError(f"The processes could not be started (exit code {code}){last}", hint)


_FAILURE = re.compile(r"rank\s+:\s*(\d+)\D.*?exitcode\s+:\s*(-?\d+)", re.DOTALL)


def _ended(log: str) -> list[tuple[int, int]]:
    """(rank, exit code) of every process in torchrun's table of failures."""
    return [(int(rank), int(code)) for rank, code in _FAILURE.findall(log)]
