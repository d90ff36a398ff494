"""What several test files need."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Before anything loads OpenMP: spinning threads starve their neighbours on two shared cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


# A job that was started in the background ignores Ctrl-C, and so would the processes of its tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test asserts on the clock: an example that took long on a busy machine is no failure.
settings.register_profile("formosa", deadline=None)
settings.load_profile("formosa")


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with our template, as training leaves it (made once)."""
    from formosa.checkpoints import load_tokenizer
    from formosa.files import write_text
    from tiny import write_tiny_checkpoint

    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "checkpoint")
    tokenizer = load_tokenizer(folder)
    tokenizer.save_pretrained(folder)
    write_text(folder / "chat_template.jinja", tokenizer.chat_template)
    return folder
