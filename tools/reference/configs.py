"""The page of settings: every field of every config class, read from the source without importing it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from tools.reference.markdown import code, plain, table

SOURCE = Path(__file__).parent.parent.parent / "src" / "arctone"
# Part of the page: the folders whose classes called *Config it lists.
PARTS = {
    "A model on disk (`config.json`)": ["model_folder"],
    "Training (`--set NAME=VALUE`)": ["training"],
}
NOTE = "<!-- Written by `make docs` from the config classes. Change their comments, not this page. -->"
INTRODUCTION = (
    "Fields of the config classes with their defaults. Configs are strict: an unknown name is an error that lists the "
    "known ones. `arctone train STAGE --set NAME=VALUE` changes a field of a stage, `--set ROLE.NAME=VALUE` one of the "
    "optimiser of one network. The recipes in `src/arctone/training/recipes.py` set other values where a model needs "
    "them. A meaning also holds for the fields below it that have none."
)


@dataclass(frozen=True)
class Field:
    """One field of a config class: name, type and default as written, and the comment above it."""

    name: str
    kind: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Config:
    """One config class: its name, module below src/, the first paragraph of its docstring, its fields."""

    name: str
    module: str
    summary: str
    fields: tuple[Field, ...]


def page() -> str:
    """Render the whole page."""
    parts = [NOTE, "# Settings", INTRODUCTION]
    for title, folders in PARTS.items():
        parts.append(f"## {title}")
        for folder in folders:
            for path in sorted((SOURCE / folder).rglob("*.py")):
                for config in configs_of(path):
                    parts += rendered(config)
    return "\n\n".join(parts) + "\n"


def rendered(config: Config) -> list[str]:
    """Render one class as a heading, its summary and a table."""
    rows = [[code(field.name), code(field.kind), code(field.default), plain(field.meaning)] for field in config.fields]
    head = ["field", "type", "default", "meaning"]
    return [f"### {config.name}", f"{plain(config.summary)} ({code(config.module)})", table(head, rows)]


def configs_of(path: Path) -> list[Config]:
    """Read the config classes of a module that have fields."""
    text = path.read_text()
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name.endswith("Config")]
    module = str(path.relative_to(SOURCE.parent))
    found = [Config(node.name, module, summary_of(node), fields_of(node, text.splitlines())) for node in classes]
    return [config for config in found if config.fields]


def summary_of(node: ast.ClassDef) -> str:
    """Return the first paragraph of a docstring."""
    return " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())


def fields_of(node: ast.ClassDef, lines: list[str]) -> tuple[Field, ...]:
    """Read the annotated fields of a class in order."""
    found = []
    stated = stated_in(ast.get_docstring(node) or "")
    for item in node.body:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and not item.target.id.startswith("_"):
            default = "required" if item.value is None else ast.unparse(item.value)
            meaning = stated.get(item.target.id) or comment_above(lines, item.lineno - 1)
            found.append(Field(item.target.id, ast.unparse(item.annotation), default, meaning))
    return tuple(found)


def stated_in(docstring: str) -> dict[str, str]:
    """Return what a docstring says of fields in the form `name: meaning`, up to the next one or the end."""
    parts = re.split(r"(?:^|(?<=[.;])\s+|\n\s*)(\w+): ", docstring)
    return {name: " ".join(meaning.split()).rstrip(";") for name, meaning in zip(parts[1::2], parts[2::2], strict=True)}


def comment_above(lines: list[str], index: int) -> str:
    """Return the comment lines that end right above a line, joined; empty if there are none."""
    found: list[str] = []
    while index > 0 and lines[index - 1].strip().startswith("#"):
        index -= 1
        found.insert(0, lines[index].strip().lstrip("# "))
    return " ".join(found)
