"""One page for each command of the program, made of its help, options and examples."""

from __future__ import annotations

import re
from typing import Any

from tools.reference.markdown import code, plain, table

NOTE = "<!-- Written by `make docs` from the program. Change the help in src/arctone/cli/, not this page. -->"


def pages() -> dict[str, str]:
    """Render the pages of all commands by file name, and `index.md` that lists them."""
    from arctone.cli.main import Commands

    group = Commands(name="arctone")
    found = {f"{name}.md": command_page(name, group.load(name)) for name in group.entries}
    return {"index.md": index_page({name: entry.summary for name, entry in group.entries.items()}), **found}


def index_page(summaries: dict[str, str]) -> str:
    """Render the list of commands. Args: summaries: one line for each command name."""
    from arctone.cli.main import EXAMPLES

    rows = [[f"[arctone {name}]({name}.md)", plain(summary)] for name, summary in summaries.items()]
    parts = [
        NOTE,
        "# Command line",
        "Every command, as the program describes itself; `arctone COMMAND --help` prints the same.",
        table(["command", "purpose"], rows),
        *epilog(EXAMPLES),
    ]
    return "\n\n".join(parts) + "\n"


def command_page(name: str, command: Any) -> str:
    """Render the page of one command and of the commands below it."""
    parts = [NOTE, *section(["arctone", name], command, level=1)]
    for below, nested in getattr(command, "commands", {}).items():
        parts += section(["arctone", name, below], nested, level=2)
    return "\n\n".join(parts) + "\n"


def section(words: list[str], command: Any, level: int) -> list[str]:
    """Render title, help, usage, arguments, options and examples of a command.

    Args:
        words: the command line up to and including the command.
        command: the built command.
        level: depth of the title, 1 for a page.

    Returns:
        The parts of the page, to be joined by empty lines.
    """
    context = command.make_context(words[-1], [], parent=None, resilient_parsing=True)
    context.info_name = " ".join(words)
    shown = [param for param in command.params if not getattr(param, "hidden", False)]
    arguments = [param for param in shown if param.param_type_name == "argument"]
    options = [param for param in shown if param.param_type_name == "option"]
    parts = [f"{'#' * level} {' '.join(words)}", *paragraphs(command.help or "")]
    parts.append(f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```")
    if arguments:
        parts.append(table(["argument", "meaning"], [row(param, context) for param in arguments]))
    if options:
        parts.append(table(["option", "meaning"], [row(param, context) for param in options]))
    return [*parts, *epilog(command.epilog or "")]


def row(param: Any, context: Any) -> list[str]:
    """Render an argument or option as the help page shows it: names with their value, then meaning and default."""
    names, meaning = param.get_help_record(context)
    return [code(names), plain(meaning.replace("  [", " ["))]


def paragraphs(text: str) -> list[str]:
    """Split a help text at empty lines and join the lines of each paragraph."""
    return [plain(" ".join(part.split())) for part in re.split(r"\n\s*\n", text.strip()) if part.strip("\b \n")]


def epilog(text: str) -> list[str]:
    """Render what follows the options: the examples as a shell block, everything else as sentences."""
    parts = []
    for part in re.split(r"\n\s*\n", text.replace("\b", "").strip()):
        title, _, lines = part.strip().partition("\n")
        if title == "Examples:":
            commands = "\n".join(line.strip() for line in lines.splitlines())
            parts.append(f"```sh\n{commands}\n```")
        elif part.strip():
            parts += paragraphs(part)
    return parts
