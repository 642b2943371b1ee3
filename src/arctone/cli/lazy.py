"""A group of commands whose modules are imported only when one of them is called."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as built


@dataclass(frozen=True)
class Entry:
    """Where a command lives (a module with a Typer called `app`), and its line in the list of commands."""

    module: str
    summary: str


class LazyGroup(TyperGroup):
    """Commands of `entries` by name, in that order. Listing them imports nothing."""

    entries: ClassVar[dict[str, Entry]] = {}
    _is_listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        """Names, in the order of the table."""
        return list(self.entries)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command itself, or while the help page is being written a line that stands for it."""
        if cmd_name not in self.entries:
            return None
        if self._is_listing:
            return TyperCommand(cmd_name, help=self.entries[cmd_name].summary)
        return self.load(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first word names. An unknown one is refused with the nearest known."""
        if args and args[0] not in self.entries and not args[0].startswith("-"):
            near = get_close_matches(args[0], self.entries, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(self.entries)}."
            ctx.fail(f"no command is called '{args[0]}'; {hint}")
        return super().resolve_command(ctx, args)

    def load(self, name: str) -> Any:
        """Import the module of a command and build it; all commands have plain help pages."""
        app: typer.Typer = import_module(self.entries[name].module).app
        command = built(app)
        command.name = name
        # Completion is installed for the whole program, not for one command.
        command.params = [option for option in command.params if not str(option.name).endswith("_completion")]
        _make_plain(command)
        return command

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """The help page, from the summaries."""
        self._is_listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._is_listing = False


def _make_plain(command: Any) -> None:
    command.rich_markup_mode = None
    for below in getattr(command, "commands", {}).values():
        _make_plain(below)
