"""Who answers in a run: the trained model and its base, alike but for the training.

Usually both are whole files at the same quantisation, the base written like the trained model. With
`export.adapter` what is published is the adapter: then the base's own file answers, with the
adapter added while it runs and without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from formosa.engines.llama import LlamaEngine
from formosa.engines.protocol import TextEngine
from formosa.engines.templated import TemplatedChat
from formosa.errors import UserError
from formosa.files import sha256_file
from formosa.models import Model
from formosa.run.recipe import Recipe
from formosa.wheels import Say, cache_folder

Role = Literal["base", "trained"]
ROLES: tuple[Role, ...] = ("base", "trained")


class Answering(NamedTuple):
    """The files that answer in a run.

    Attributes:
        recipe: of the run.
        base: its base model.
        gguf: the trained model as one file.
        adapter: the adapter alone, where that is what is published.
    """

    recipe: Recipe
    base: Model
    gguf: Path
    adapter: Path | None

    def opened(
        self, role: Role, *, context: int, slots: int = 1, held: bool = False, say: Say
    ) -> TemplatedChat:
        """A chat model, loaded and ready; its name says the role.

        Raises:
            UserError: an adapter of a base that is no GGUF file.
        """
        name = f"{self.recipe.name} ({role})"
        if self.adapter is None:
            path = self.gguf if role == "trained" else self._base_alike(say)
            sha256 = sha256_file(path)
            llama = LlamaEngine(path, name=name, context=context, slots=slots, sha256=sha256)
            return TemplatedChat(llama, held=held)
        check_adapter(self.base)
        path = self.base.path
        both = LlamaEngine(
            path,
            name=f"{self.recipe.name} (base)",
            context=context,
            slots=slots,
            sha256=sha256_file(path),
            adapters={name: self.adapter},
        )
        adapted = both.with_adapter(name)
        engine: TextEngine = adapted if role == "trained" else both
        return TemplatedChat(engine, adapted.info.template, held=held)

    def _base_alike(self, say: Say) -> Path:
        """The base written like the trained model, in the cache: same template, same quantisation,
        so that nothing but the training is compared."""
        from formosa.checkpoints import checkpoint_folder
        from formosa.export.gguf import write_gguf

        base, quantisation = self.base, self.recipe.export.quantisation
        name = f"{base.name}-{base.sha256()[:16]}-{quantisation}.gguf"
        path = cache_folder() / "gguf" / name
        if not path.exists():
            say(f"writing {base.name} as {quantisation}, once")
            write_gguf(checkpoint_folder(base, say=say), path, quantisation, name=base.name)
        return path


def check_adapter(base: Model) -> None:
    """An adapter needs a base that llama.cpp loads.

    Raises:
        UserError: it is no GGUF file.
    """
    if base.kind != "gguf":
        raise UserError(
            f"export.adapter: {base.name} is a checkpoint folder; an adapter is added to a GGUF "
            "file.",
            "name a built-in model or a .gguf file as the base, or leave out export.adapter",
        )
