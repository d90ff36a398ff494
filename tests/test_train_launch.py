"""Several processes train one model: real ones, over gloo, on a model of 60,000 weights.

A GPU takes the same path but for the backend: accelerate launch, transformers' Trainer, DDP or
FSDP2, sharded checkpoints.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import formosa
from formosa.errors import UserError
from formosa.files import read_json, read_jsonl
from formosa.train.config import TrainConfig
from formosa.train.launch import Launch, launch, wait_for_first_machine, write_job
from tiny import write_tiny_checkpoint

pytestmark = pytest.mark.train

STEPS = 4


class Place:
    """A base, rows, and trainings of them in folders of their own."""

    def __init__(self, here: Path) -> None:
        self.here = here
        self.base = write_tiny_checkpoint(here / "base")
        self.rows, self.heldout = here / "train.jsonl", here / "heldout.jsonl"
        for path, count in ((self.rows, 48), (self.heldout, 2)):
            rows = (
                {
                    "messages": [
                        {"role": "user", "content": f"第 {i} 題 " * (1 + i % 4)},
                        {"role": "assistant", "content": f"答案 {i * 7}"},
                    ]
                }
                for i in range(count)
            )
            path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def config(self, **changes: Any) -> TrainConfig:
        return TrainConfig.model_validate(
            {
                "method": "full",
                "precision": "float32",
                "max_steps": STEPS,
                "warmup_steps": 1,
                "rows_per_step": 12,
                "rows_at_once": 2,
                "save_every": 2,
                "measure_every": STEPS,
                "measure_rows": 1,
                "measure_tokens": 8,
                **changes,
            }
        )

    def alone(self, name: str, **changes: Any) -> Path:
        from formosa.train.run import train

        folder = self.here / name
        train(self.config(**changes), **self.inputs, folder=folder)
        return folder

    @property
    def inputs(self) -> dict[str, Any]:
        return {"base": self.base, "rows": self.rows, "heldout": self.heldout}

    def job(self, name: str, **changes: Any) -> Path:
        from formosa.train.run import encode

        config = self.config(**changes)
        encode(config, base=self.base, rows=self.rows, folder=self.here / name)
        return write_job(self.here / name, config, **self.inputs)

    def together(
        self,
        name: str,
        processes: int = 2,
        progress: Callable[[int, int, float], None] = lambda step, steps, loss: None,
        **changes: Any,
    ) -> tuple[Path, list[str]]:
        said: list[str] = []
        launch(Launch(processes), self.job(name, **changes), say=said.append, progress=progress)
        return self.here / name, said


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("launch"))


@pytest.fixture(scope="module")
def alone(place: Place) -> Path:
    return place.alone("alone")


def steps_of(folder: Path) -> list[dict[str, Any]]:
    return [r for _, r in read_jsonl(folder / "train" / "log.jsonl") if r["type"] == "step"]


def losses(folder: Path) -> list[float]:
    found = steps_of(folder)
    assert [record["step"] for record in found] == list(range(1, STEPS + 1))
    return [record["loss"] for record in found]


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "checkpoint" / "model.safetensors"))


def assert_same_weights(one: Path, other: Path) -> None:
    import torch

    left, right = weights(one), weights(other)
    assert left.keys() == right.keys()
    for name, value in left.items():  # bfloat16: a rounding apart at most
        torch.testing.assert_close(right[name], value, rtol=1e-2, atol=1e-4)


def ends_by_itself(script: str, *arguments: object) -> list[int]:
    """Run a script that launches a training and kills itself; the processes it had started."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return [int(pid) for pid in json.loads(done.stdout)]


KILLED = """
import json, os, signal, sys
from pathlib import Path
import psutil
from formosa.train.launch import Launch, launch

def progress(step, steps, loss):
    if step == 3:
        pids = [child.pid for child in psutil.Process().children(recursive=True)]
        print(json.dumps(pids), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

launch(Launch(2), Path(sys.argv[1]), say=lambda line: None, progress=progress)
"""


def test_two_processes_do_the_same_as_one(place: Place, alone: Path) -> None:
    """The same batches, shared: the losses differ by rounding only."""
    folder, said = place.together("ddp")
    assert losses(folder) == pytest.approx(losses(alone), rel=1e-5)
    assert_same_weights(alone, folder)
    one, two = (read_json(path / "train" / "summary.json") for path in (alone, folder))
    for key in ("rows", "tokens", "trained_tokens", "steps", "epochs", "template_sha256"):
        assert two[key] == one[key], key
    (line,) = (line for line in said if "processes, each on" in line)
    assert "2 processes, each on a processor (gloo), whole copies (DDP)" in line
    assert "12 sequences a step (2 at once × 2 processes × 3 accumulated)" in line


def test_only_the_first_process_writes_and_speaks(place: Place, alone: Path) -> None:
    folder = place.here / "ddp"
    if not folder.exists():
        place.together("ddp")
    names = {path.name for path in folder.rglob("*")}
    own = {"job.json", "launch.log", "accelerate.json"}  # the launcher's
    assert names - own == {path.name for path in alone.rglob("*")}
    measured = [r for _, r in read_jsonl(folder / "train" / "log.jsonl") if r["type"] == "measured"]
    assert [record["step"] for record in measured] == [STEPS]


def test_shards_are_saved_and_continued_with_two_and_with_three_processes(place: Place) -> None:
    """Everybody is killed, the parent by -9 and its processes by losing it; a checkpoint of two
    shards is what is left, and it is whole.

    Computed in bfloat16: accelerate's own policy would round gradients and the loss to it, too
    (5.1562 for 5.1571).
    """
    import shutil

    import psutil  # type: ignore[import-untyped]

    alone = place.alone("alone-bfloat16", precision="bfloat16")
    shards: dict[str, Any] = {
        "precision": "bfloat16",
        "activation_checkpointing": True,
        "parallel": {"strategy": "fsdp"},
    }
    job = place.job("fsdp", **shards)
    pids = ends_by_itself(KILLED, job)
    assert len(pids) == 3  # accelerate's and two of ours
    left = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(left, timeout=60)
    assert not alive, "a training went on without anybody who listens"
    checkpoint = place.here / "fsdp" / "train" / "steps" / "checkpoint-2"
    assert (checkpoint / "complete").read_text() == "fsdp"
    for part in ("pytorch_model_fsdp_0", "optimizer_0"):
        assert {f.name for f in (checkpoint / part).iterdir()} == {
            ".metadata", "__0_0.distcp", "__1_0.distcp"
        }  # fmt: skip
    assert not (place.here / "fsdp" / "checkpoint").exists()
    shutil.copytree(place.here / "fsdp", place.here / "fsdp-of-three")

    folder, said = place.together("fsdp", **shards)
    assert "continuing after step 2" in said
    assert any("fully sharded (FSDP2)" in line for line in said)
    assert losses(folder) == pytest.approx(losses(alone), rel=5e-4)
    assert any(loss != round(loss * 128) / 128 for loss in losses(folder))
    assert_same_weights(alone, folder)
    assert not (folder / "train" / "steps").exists()

    folder, said = place.together("fsdp-of-three", processes=3, **shards)
    assert "continuing after step 2" in said
    assert losses(folder) == pytest.approx(losses(alone), rel=5e-4)
    assert_same_weights(alone, folder)


def test_a_process_that_is_killed_ends_the_others_with_one_sentence(place: Place) -> None:
    import psutil

    def kill_the_second(step: int, steps: int, loss: float) -> None:
        if step == 3:
            for child in psutil.Process().children(recursive=True):
                if child.environ().get("RANK") == "1":
                    child.send_signal(signal.SIGKILL)

    others = set(psutil.Process().children(recursive=True))  # other tests' worker processes
    with pytest.raises(UserError) as caught:
        place.together("killed", progress=kill_the_second)
    assert caught.value.message.startswith("Process 1 of 2 was killed (SIGKILL); the others were")
    assert "\n" not in caught.value.message
    assert "continues from the last checkpoint" in caught.value.hint
    assert set(psutil.Process().children(recursive=True)) <= others
    assert (place.here / "killed" / "train" / "steps" / "checkpoint-2" / "complete").exists()


FILE = """\
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
mixed_precision: 'no'
num_machines: 1
num_processes: 2
use_cpu: false
fsdp_config: {fsdp_version: 2, fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP}
"""


def test_what_a_person_can_mend_is_their_sentence(place: Place) -> None:
    """Found in every process after it was started; said once, without torchrun's table."""
    path = place.here / "accelerate.yaml"
    path.write_text(FILE, encoding="utf-8")
    job = place.job("file", parallel={"strategy": "ddp"})
    how = Launch(2, accelerate_config=path)
    with pytest.raises(UserError, match="says parallel.strategy: ddp, .* says fsdp") as caught:
        launch(how, job, say=lambda line: None, progress=lambda *_: None)
    assert "auto lets the file decide" in caught.value.hint


def test_two_machines_train_together(place: Place, alone: Path) -> None:
    """Here both are this one. Only the first reads the job; the second gets it over the network."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    job = place.job("machines")
    first, second = (Launch(2, 2, rank, address) for rank in (0, 1))
    failed: list[BaseException] = []
    said: list[str] = []

    def other_machine() -> None:
        try:
            wait_for_first_machine(second, 2, say=said.append)
            elsewhere = place.here / "elsewhere" / "train" / "job.json"
            launch(second, elsewhere, say=said.append, progress=lambda *_: None)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=other_machine)
    thread.start()
    launch(first, job, say=lambda line: None, progress=lambda *_: None)
    thread.join(120)
    assert not thread.is_alive()
    assert not failed, failed
    assert losses(place.here / "machines") == pytest.approx(losses(alone), rel=1e-5)
    assert said[0] == f"waiting for the first machine at {address}"
    assert not (place.here / "elsewhere" / "checkpoint").exists()


def test_the_command_prepares_alone_trains_together_and_is_done(place: Place) -> None:
    recipe = place.here / "life.yaml"
    recipe.write_text(
        f"name: life\nbase: {place.base}\n"
        "data: {heldout: 1, synth: {rows: 8}}\n"
        "train: {max_steps: 2, warmup_steps: 0, rows_per_step: 4, rows_at_once: 2,\n"
        "  max_tokens: 8192, measure_rows: 0}\n",
        encoding="utf-8",
    )
    options = ("train", "sft", recipe, "--runs", place.here / "runs", "--launch", "accelerate",
               "--processes", 2, "--try-first", "--json")  # fmt: skip
    done = formosa(*options)
    assert done.code == 0, done.err
    assert done.json["steps"] == 2
    assert "2 processes, each on a processor (gloo)" in done.err
    assert (place.here / "runs" / "life" / "checkpoint" / "model.safetensors").exists()
    again = formosa(*options)
    assert again.code == 0
    assert "▶ train" not in again.err


def test_a_first_machine_that_never_begins_is_a_sentence() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(UserError, match=r"did not begin within 0 minutes") as caught:
        wait_for_first_machine(Launch(2, 2, 1, address), 0, say=lambda line: None)
    assert "--until data" in caught.value.hint


def test_a_training_begun_in_shards_is_not_continued_alone(place: Place) -> None:
    from formosa.train.run import train

    folder = place.here / "begun"
    checkpoint = folder / "train" / "steps" / "checkpoint-2"
    checkpoint.mkdir(parents=True)
    (checkpoint / "complete").write_text("fsdp", encoding="utf-8")
    with pytest.raises(UserError, match="begun as fully sharded .* as one process it can't"):
        train(place.config(), **place.inputs, folder=folder)
    assert checkpoint.exists()


def test_a_job_is_read_back_as_it_was_written(place: Place, tmp_path: Path) -> None:
    config = place.config(schedule="constant", parallel={"strategy": "fsdp", "offload": True})
    job = write_job(tmp_path, config, **place.inputs)
    assert TrainConfig.model_validate(read_json(job)["config"]) == config


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ((1,), "shares nothing"),
        ((3, 2, 0, "a:1"), "can't be spread evenly over 2 machines"),
        ((4, 2, 2, "a:1"), "--machine-rank 2 is not one of 2 machines"),
        ((4, 2, 0, ""), "need the address of the first one"),
        ((4, 2, 0, "host"), "need the address of the first one"),
    ],
)
def test_a_launch_that_makes_no_sense_is_refused(values: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Launch(*values)


def test_the_command_says_all_that_accelerate_would_guess(tmp_path: Path) -> None:
    words = Launch(16, 2, 1, "10.0.0.1:29500").command(tmp_path / "job.json")
    given = dict(zip(words, words[1:], strict=False))
    assert given["--num_processes"] == "16"
    assert given["--num_machines"] == "2"
    assert given["--machine_rank"] == "1"
    assert given["--main_process_ip"] == "10.0.0.1"
    assert given["--main_process_port"] == "29500"
    assert "--cpu" not in words  # it would start one process
    assert given["--config_file"] == str(tmp_path / "accelerate.json")  # not the person's default
    assert words[-2:] == ["formosa.train.worker", str(tmp_path / "job.json")]
    config = tmp_path / "accelerate.yaml"
    assert "--multi_gpu" not in Launch(8, accelerate_config=config).command(tmp_path / "job.json")


def test_what_another_launch_left_in_the_environment_is_not_passed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from formosa.train.launch import _environment

    for name in ("ACCELERATE_USE_FSDP", "RANK", "WORLD_SIZE", "MASTER_ADDR"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = _environment(Launch(2))
    assert not {"ACCELERATE_USE_FSDP", "RANK", "WORLD_SIZE", "MASTER_ADDR"} & given.keys()
    assert given["NCCL_DEBUG"] == "INFO"
    assert int(given["OMP_NUM_THREADS"]) == max(1, len(os.sched_getaffinity(0)) // 2)


def test_a_bug_in_a_process_names_the_process_and_the_log(tmp_path: Path) -> None:
    from formosa.train.launch import _Story

    story = _Story(Launch(2))
    lines = [
        {"formosa": "failed", "rank": 1, "user": False, "message": "KeyError: 'x'", "hint": ""},
        {"formosa": "failed", "rank": 0, "user": False, "message": "gloo lost 1", "hint": ""},
    ]
    for line in lines:
        assert story.hear(json.dumps(line).encode(), print, lambda *_: None)
    assert not story.hear(b"a warning of somebody else\n", print, lambda *_: None)
    error = story.sentence(1, "", tmp_path / "launch.log")
    assert error.message == "Process 1 of 2 failed: KeyError: 'x'"
    assert str(tmp_path / "launch.log") in error.hint


def test_processes_that_never_began_tell_the_last_line_of_the_log(tmp_path: Path) -> None:
    from formosa.train.launch import _Story

    error = _Story(Launch(2)).sentence(2, "usage: ...\nunknown argument\n\n", tmp_path / "l")
    assert error.message.endswith("could not be started (exit code 2): unknown argument")
