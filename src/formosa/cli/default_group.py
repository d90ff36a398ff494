"""A group that works as a command: what is not the name of a subcommand goes to its default.

`formosa chat MODEL` talks and `formosa chat parse FILE` is a subcommand; `formosa serve` likewise.
The default is a hidden subcommand: its options are shown as the group's own, and its own name
never is.
"""

from __future__ import annotations

import click

from formosa.models import default_model


class DefaultGroup(click.Group):
    """Subcommands by name; anything else goes to the hidden one. So does nothing at all where this
    installation has a model of its own; otherwise it is a cry for help."""

    @property
    def default(self) -> click.Command:
        return next(command for command in self.commands.values() if command.hidden)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        shown = {name for name, command in self.commands.items() if not command.hidden}
        if args and args[0] not in shown | set(self.get_help_option_names(ctx)):
            args = [self.default.name or "", *args]
        elif not args and default_model():
            args = [self.default.name or ""]
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        pieces = self.default.collect_usage_pieces(ctx)
        formatter.write_usage(ctx.command_path, " ".join(pieces))
        formatter.write_usage(ctx.command_path, "COMMAND [ARGS]...", prefix="   or: ")
        self.format_help_text(ctx, formatter)
        self.default.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


class _DefaultContext(click.Context):
    """Goes by the name of the group: nobody types the command's own."""

    @property
    def command_path(self) -> str:
        return self.parent.command_path if self.parent else super().command_path


class DefaultCommand(click.Command):
    """The hidden subcommand; usage and errors show the group's name."""

    context_class = _DefaultContext
