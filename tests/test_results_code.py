"""Which code made a result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import formosa
from formosa.results.code import _git, code


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=n", "-c", "user.email=e@example.org"]
    made = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], capture_output=True, text=True, check=True
    )
    return made.stdout.strip()


def test_the_version_is_ours() -> None:
    assert code()["version"] == formosa.__version__


def test_a_checkout_has_a_revision_and_says_when_files_were_changed(tmp_path: Path) -> None:
    package = tmp_path / "src" / "formosa"
    package.mkdir(parents=True)
    (package / "a.py").write_text("1\n")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    revision = git(tmp_path, "rev-parse", "HEAD")
    git(tmp_path, "tag", "v1", "-m", "a tag does not stand for the revision")
    assert _git(package) == revision
    (package / "a.py").write_text("2\n")
    assert _git(package) == f"{revision}-dirty"


def test_a_package_installed_in_anothers_repository_does_not_report_that(tmp_path: Path) -> None:
    package = tmp_path / ".venv" / "lib" / "site-packages" / "formosa"
    package.mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    assert _git(package) is None


def test_a_repository_without_a_revision_is_none(tmp_path: Path) -> None:
    package = tmp_path / "src" / "formosa"
    package.mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    assert _git(package) is None
