"""The stages of a run. Each reads files that earlier ones left, and leaves files of its own.

    model   fetch the base model, check its sha256
    data    read, clean and generate rows       → data/
    train   fine-tune                           → checkpoint/, train/
    export  GGUF, and its parity checks         → gguf/
    serve   the four-step tool flow, for real   → serve/
    eval    base and trained model, one log for each task   → logs/
    card    the model card, written and verified            → README.md, card-claims.json

A stage that is complete for the same inputs is skipped. One that was interrupted continues where
its files allow it (train, eval) and otherwise begins again: what it writes appears whole or not at
all. `VERSION` of a stage is raised when the same inputs would give other files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import formosa.data
import formosa.zh
from formosa.errors import CardError
from formosa.files import sha256_file, sha256_json, write_json, write_text
from formosa.models import BUILTIN, Model, resolve
from formosa.run.answering import Answering, check_adapter
from formosa.run.recipe import Recipe, dump_recipe
from formosa.run.report import Report
from formosa.run.state import State, locked
from formosa.train.start import digest_of, find_start

if TYPE_CHECKING:
    from formosa.export.about import Value
    from formosa.train.launch import Launch


@dataclass
class Run:
    """A recipe at work in its folder."""

    recipe: Recipe
    recipe_folder: Path  # the data files that the recipe names are relative to it
    folder: Path
    state: State
    report: Report
    launch: Launch | None = None  # several processes for the training
    try_first: bool = False  # what could fail late in the training, before it

    def base(self) -> Model:
        return resolve(self.recipe.base, say=self.report.say)

    @property
    def gguf(self) -> Path:
        return self.folder / "gguf" / f"model-{self.recipe.export.quantisation}.gguf"

    @property
    def adapter(self) -> Path | None:
        """The adapter alone, where that is what the recipe publishes."""
        if self.recipe.export.adapter is None:
            return None
        return self.folder / "adapter" / f"{self.recipe.name}.gguf"

    @property
    def answering(self) -> Answering:
        return Answering(self.recipe, self.base(), self.gguf, self.adapter)


class Stage(NamedTuple):
    """One step of a model's life."""

    name: str
    what: str  # for people
    version: int
    inputs: Callable[[Run], Any]  # a JSON value; its hash decides whether the stage is skipped
    work: Callable[[Run], Sequence[Path]]  # returns the files it left
    # What an interrupted attempt leaves to continue from; moved aside when the inputs change,
    # unless the stage sorts it: its files say what they were made from.
    remains: tuple[str, ...] = ()
    sorts: bool = False


def run_recipe(
    recipe: Recipe,
    folder: Path,
    report: Report,
    *,
    recipe_folder: Path | None = None,
    last: str = "card",
    launch: Launch | None = None,
    try_first: bool = False,
) -> State:
    """Do every stage that isn't complete.

    Args:
        recipe: what to do.
        folder: the run folder; made if it isn't there.
        report: told what goes on.
        recipe_folder: where relative paths in the recipe begin; the current folder by default.
        last: the name of the stage to stop after.
        launch: train in several processes; None: in this one.
        try_first: before the training try once what could fail late in it.

    Raises:
        UserError: a stage can't be done; everything before it is kept.
    """
    root = recipe_folder or Path.cwd()
    if recipe.train.lora.start:
        find_start(recipe.train.lora.start)  # before hours of work that would need it
    with locked(folder):
        write_text(folder / "recipe.yaml", dump_recipe(recipe))
        run = Run(recipe, root, folder, State(folder), report, launch, try_first)
        for stage in STAGES:
            inputs = sha256_json({"version": stage.version, "inputs": stage.inputs(run)})
            if run.state.complete(stage.name, inputs):
                report.skipped(stage.name)
            else:
                report.stage(stage.name, stage.what)
                run.state.begin(stage.name, inputs, stage.remains, sorts=stage.sorts)
                started = time.monotonic()
                outputs = stage.work(run)
                seconds = time.monotonic() - started
                run.state.finish(stage.name, outputs, seconds)
                report.finished(stage.name, seconds)
            if stage.name == last:
                break
        return run.state


def _model(run: Run) -> list[Path]:
    model = resolve(
        run.recipe.base,
        say=run.report.say,
        progress=lambda done, total: run.report.progress(done, total, "MB"),
    )
    path = run.folder / "model.json"
    write_json(
        path,
        {
            "schema": 1,
            "name": model.name,
            "kind": model.kind,
            "sha256": model.sha256(),
            "licence": model.licence,
            "hub_id": model.hub_id,
            "revision": model.revision,
        },
    )
    run.report.say(f"{model.name}: {model.path}")
    return [path]


def _data(run: Run) -> list[Path]:
    from formosa.data.prepare import prepare
    from formosa.data.workers import usual_processes
    from formosa.run.benchmarks import benchmark_names, load_benchmarks

    folder = run.folder / "data"
    names = benchmark_names(run.recipe.data, run.recipe.eval)
    prepare(
        run.recipe.data,
        folder,
        root=run.recipe_folder,
        benchmarks=load_benchmarks(names, say=run.report.say),
        workers=usual_processes(),
        say=run.report.say,
        progress=run.report.progress,
    )
    return [
        folder / name for name in ("train.jsonl", "heldout.jsonl", "rejects.jsonl", "report.json")
    ]


def _train(run: Run) -> list[Path]:
    from formosa.checkpoints import checkpoint_folder
    from formosa.train.launch import launch, write_job
    from formosa.train.run import encode, require_training, train

    def progress(step: int, steps: int, loss: float) -> None:
        run.report.progress(step, steps, f"loss {loss:.3f}")

    require_training()
    config, say = run.recipe.train, run.report.say
    base = checkpoint_folder(run.base(), say=say)
    rows, heldout = (run.folder / "data" / f"{name}.jsonl" for name in ("train", "heldout"))
    if run.launch is None:
        train(
            config, base=base, rows=rows, heldout=heldout, folder=run.folder,
            say=say, progress=progress, smoke=run.try_first,
        )  # fmt: skip
    else:
        # Alone: processes that wait for one that encodes would give up after half an hour.
        say("encoding the rows, once for all processes")
        encode(config, base=base, rows=rows, folder=run.folder)
        job = write_job(
            run.folder, config, base=base, rows=rows, heldout=heldout, try_first=run.try_first
        )
        launch(run.launch, job, say=say, progress=progress)
    made = sorted(path for path in (run.folder / "checkpoint").rglob("*") if path.is_file())
    return [*made, run.folder / "train" / "summary.json", run.folder / "train" / "log.jsonl"]


def _export(run: Run) -> list[Path]:
    from formosa.export.about import described, git_revision
    from formosa.export.levels import export_levels, files_of

    config, parity = run.recipe.export, run.gguf.with_name("parity.json")
    base = run.base()
    metadata = described(
        base={
            "name": base.name,
            "licence": base.licence,
            "hub_id": base.hub_id,
            "revision": base.revision,
        },
        # Only what decides these bytes: a recipe that measures more still made this file.
        recipe_sha256=sha256_json(
            run.recipe.model_dump(mode="json", include={"base", "data", "train", "export"})
        ),
        data_sha256=run.state.outputs("data")["data/train.jsonl"],
        revision=git_revision(run.recipe_folder),
    )
    export_levels(
        run.folder / "checkpoint",
        run.gguf.parent,
        config.every_level,
        name=run.recipe.name,
        metadata=metadata,
        greedy_tokens=config.parity_tokens,
        main_report=parity,
        say=run.report.say,
        progress=lambda done, of: run.report.progress(done, of, "tensors"),
    )
    made = files_of(run.gguf.parent, config.every_level, parity)
    return [*made, *_write_adapter(run, metadata)] if run.adapter else made


def _write_adapter(run: Run, metadata: Mapping[str, Value]) -> list[Path]:
    """The adapter as a GGUF file, and what the card says of it."""
    from formosa.checkpoints import checkpoint_folder
    from formosa.export.adapter import write_adapter

    base, path, level = run.base(), run.adapter, run.recipe.export.adapter
    assert path is not None and level is not None
    check_adapter(base)
    path.parent.mkdir(exist_ok=True)
    checkpoint = run.folder / "checkpoint"
    template = (checkpoint / "chat_template.jinja").read_text(encoding="utf-8")
    write_adapter(
        checkpoint_folder(base, say=run.report.say),
        checkpoint / "adapter",
        path,
        name=run.recipe.name,
        level=level,
        template=template,
        metadata=metadata,
    )
    run.report.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    report = path.with_name("adapter.json")
    write_json(
        report,
        {
            "schema": 1,
            "file": path.name,
            "sha256": sha256_file(path),
            "bytes": path.stat().st_size,
            "level": level,
            "base": base.name,
            "base_sha256": base.sha256(),
        },
    )
    return [path, report]


def _serve(run: Run) -> list[Path]:
    from formosa.serve.run import serving
    from formosa.tools.flow import run_flow

    config, who = run.recipe.serve, run.answering
    model = who.opened(
        "trained", context=config.context, held=config.hold_calls, say=run.report.say
    )
    try:
        with serving({run.recipe.name: model}) as url:
            run.report.say(f"serving at {url}")
            flow = run_flow(url)
    finally:
        asyncio.run(model.aclose())
    for step in flow["steps"]:
        run.report.say(f"{'✓' if step['passed'] else '✗'} {step['name']}: {step['detail']}")
    path = run.folder / "serve" / "tool-flow.json"
    write_json(path, {**flow, "served": (run.adapter or run.gguf).name})
    return [path]


def _eval(run: Run) -> list[Path]:
    from formosa.run.asking import ask_all

    return ask_all(run.recipe.eval, run.answering, run.folder, run.report, run.state.set_aside)


def _card(run: Run) -> list[Path]:
    from formosa.card.claims import CLAIMS_FILE
    from formosa.card.verify import verify_card
    from formosa.card.write import write_card

    write_card(run.folder)
    path = run.folder / "README.md"
    errors = [finding for finding in verify_card(path) if finding.severity == "error"]
    if errors:
        raise CardError(
            f"The card does not verify: {errors[0].where}: {errors[0].message}",
            f"see all findings with `formosa card verify {path}`",
        )
    run.report.say(f"{path} verifies")
    return [path, run.folder / CLAIMS_FILE]


def _after(*stages: str) -> Callable[[Run], Any]:
    """Inputs: the files that those stages left."""
    return lambda run: {stage: dict(run.state.outputs(stage)) for stage in stages}


def _config(part: str, *stages: str) -> Callable[[Run], Any]:
    """Inputs: that part of the recipe, and the files that those stages left."""

    def inputs(run: Run) -> Any:
        config = getattr(run.recipe, part).model_dump(mode="json")
        return {part: config, **_after(*stages)(run)}

    return inputs


def _model_inputs(run: Run) -> Any:
    """The name, and its bytes: those of a folder or file may change under the same name."""
    base = run.recipe.base
    if base in BUILTIN:
        return {"base": base, "sha256": BUILTIN[base].sha256}
    # A hub model is not asked for here: a complete run must not need the network.
    return {"base": base, "sha256": None if base.startswith("hf:") else run.base().sha256()}


def _data_inputs(run: Run) -> Any:
    """The recipe's part, the files of its sources, the benchmarks by name, and the code that makes
    rows: its rules, tools and wordings decide the rows as much as the recipe does.

    A data set of the hub counts by the revision that the recipe names: a complete run must not
    need the network. Name a commit, and it can't change.
    """
    from formosa.data.sources.local import open_local
    from formosa.run.benchmarks import benchmark_names

    data = run.recipe.data
    local = [source for source in data.sources if source.path is not None]
    rooms = [Path(str(room.__file__)).parent for room in (formosa.data, formosa.zh)]
    code = sorted(path for room in rooms for path in room.rglob("*") if path.is_file())
    return {
        "data": data.model_dump(mode="json"),
        "files": {source.source: open_local(source, run.recipe_folder).about() for source in local},
        "benchmarks": benchmark_names(data, run.recipe.eval),
        "code": [sha256_file(path) for path in code if path.suffix != ".pyc"],
    }


def _train_inputs(run: Run) -> Any:
    """The recipe's part, the base, and the rows. What the data's report says of them beside is not
    learnt: a benchmark more to compare with, and no row less, is no reason to train again."""
    rows = {
        name: digest
        for name, digest in run.state.outputs("data").items()
        if name.endswith(("train.jsonl", "heldout.jsonl"))
    }
    start = run.recipe.train.lora.start
    return {
        **_config("train", "model")(run),
        "data": rows,
        # Its bytes: a file may change under the same name.
        "start": digest_of(start) if start else None,
    }


STAGES = (
    Stage("model", "fetch the base model", 1, _model_inputs, _model),
    Stage("data", "prepare the rows", 2, _data_inputs, _data),
    Stage(
        "train",
        "fine-tune",
        2,
        _train_inputs,
        _train,
        remains=("train", "checkpoint"),
    ),
    Stage("export", "write GGUF and check that it says the same", 2,
          _config("export", "train"), _export, remains=("gguf",)),
    Stage("serve", "serve it and run the four-step tool flow", 1,
          _config("serve", "export"), _serve),
    Stage("eval", "ask the benchmarks, base and trained", 1,
          _config("eval", "model", "export"), _eval, remains=("logs",), sorts=True),
    Stage("card", "write the model card and verify it", 2,
          _after("model", "data", "train", "export", "serve", "eval"), _card),
)  # fmt: skip
