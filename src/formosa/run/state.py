"""state.json: which stage is complete, and the hash of what it was made from.

A stage counts as complete when its inputs hash to the same value as then, and every file it left is
still there with the same bytes. `started` is noted before a stage begins, so that one that was
killed is continued if its inputs are the same, and begun afresh if they are not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from formosa.errors import UserError
from formosa.files import alone, read_json, sha256_file, write_json

SCHEMA = 1
LOCK = ".lock"


class State:
    """The state of one run folder, written to disk at every change."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "state.json"
        value = read_json(self.path) if self.path.exists() else {}
        if value and (not isinstance(value, dict) or value.get("schema") != SCHEMA):
            raise UserError(
                f"{self.path} was written by another version of Formosa.",
                f"move {folder} away and run the recipe again",
            )
        self._stages: dict[str, Any] = value.get("stages", {})

    def complete(self, stage: str, inputs: str) -> bool:
        """Whether the stage was finished with these inputs and its files are untouched."""
        entry = self._stages.get(stage, {})
        return (
            entry.get("status") == "complete"
            and entry["inputs"] == inputs
            and all(
                (self.folder / name).is_file() and sha256_file(self.folder / name) == digest
                for name, digest in entry["outputs"].items()
            )
        )

    def begin(
        self, stage: str, inputs: str, remains: Sequence[str], *, sorts: bool = False
    ) -> None:
        """Note that the stage begins. Only what an interrupted attempt with the same inputs left is
        continued from. Leftovers of other inputs are moved aside first, and so are files that were
        changed or lost after the stage was complete: nobody knows what they are now.

        Args:
            stage: its name.
            inputs: hash of what it is made from.
            remains: files and folders, relative to the run folder, that it would continue from.
            sorts: whether its files say themselves what they were made from. Then those of other
                inputs stay, as they were left, and the stage sorts them.
        """
        before = self._stages.get(stage)
        if before is None or before["inputs"] != inputs or before["status"] == "complete":
            for name in remains:
                if before is not None and sorts:
                    self._set_changed_aside(name, before)
                else:
                    self.set_aside(name)
        self._stages[stage] = {"status": "started", "inputs": inputs}
        self._save()

    def finish(self, stage: str, outputs: Sequence[Path], seconds: float) -> None:
        """Note what the stage left and how long it took, over all its attempts that were noted."""
        entry = self._stages[stage]
        entry["status"] = "complete"
        entry["outputs"] = {
            str(path.relative_to(self.folder)): sha256_file(path) for path in outputs
        }
        entry["seconds"] = round(seconds, 1)
        entry["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
        self._save()

    def outputs(self, stage: str) -> Mapping[str, str]:
        """Digests of the stage's files: what later stages are made from."""
        found: Mapping[str, str] = self._stages.get(stage, {}).get("outputs", {})
        return found

    def seconds(self) -> dict[str, float]:
        """How long each stage took when it last ran."""
        return {name: entry.get("seconds", 0.0) for name, entry in self._stages.items()}

    def _save(self) -> None:
        write_json(self.path, {"schema": SCHEMA, "stages": self._stages})

    def _set_changed_aside(self, name: str, before: Mapping[str, Any]) -> None:
        """Set aside what a complete stage did not leave like this; an interrupted one said
        nothing of its files."""
        if before["status"] != "complete":
            return
        for path in sorted((self.folder / name).rglob("*")):
            inside = str(path.relative_to(self.folder))
            if path.is_file() and before["outputs"].get(inside) != sha256_file(path):
                self.set_aside(inside)

    def set_aside(self, name: str) -> None:
        """Nothing is lost: what another recipe made is moved to `.previous`, one generation."""
        path = self.folder / name
        if not path.exists():
            return
        target = self.folder / ".previous" / name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only one process may work in a run folder.

    Raises:
        UserError: another one does, or the folder can't be made.
    """
    busy = UserError(
        f"Another process is running in {folder}.",
        "wait for it, stop it, or give the recipe another name",
    )
    with alone(folder / LOCK, busy):
        yield
