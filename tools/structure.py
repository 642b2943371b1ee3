"""Count and draw the structure of the repository: packages, imports between them, cycles, sizes of files and functions.

    python -m tools.structure                 # the counts
    python -m tools.structure --svg FILE      # and a picture of the packages, layer by layer
    python -m tools.structure --check         # exit code 1 if a count is over its limit

A package is a package or module directly below `arctone`, or `benchmarks`, `tools` or `tests`; the package's own
`__init__` and `__main__` only re-export names and do not count. Imports between two packages count once for each
direction. An import cycle is a set of files that import each other in a loop. An import points upwards if the layers in
pyproject.toml (import-linter) put the imported package above the importing one. A lone module has a single importer,
which is in the same folder. Lines and functions are those of `arctone`, without benchmarks, tools and tests.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "arctone"
PROGRAMS = ("benchmarks", "tools", "tests")
MAX_LINES = 450

LIMITS: Mapping[str, float] = {
    "packages": 20,
    "package imports": 120,
    "import cycles": 0,
    "upward imports": 0,
    f"files over {MAX_LINES} lines": 0,
    "median function": 8,
    "lone modules": 30,
}


@dataclass(frozen=True)
class File:
    """One Python file.

    Args:
        name: dotted name of the module.
        folder: that it lies in.
        num_lines: of the file.
        functions: number of lines of each function, without its docstring.
        imports: dotted names of the repository's modules that it imports.
    """

    name: str
    folder: Path
    num_lines: int
    functions: tuple[int, ...]
    imports: frozenset[str]

    @property
    def package(self) -> str:
        """Package that the file belongs to."""
        return package_of(self.name)


def package_of(module: str) -> str:
    """Return the package of a module; empty for the package's own `__init__` and `__main__`."""
    first, _, rest = module.partition(".")
    if first != PACKAGE:
        return first
    package = rest.partition(".")[0]
    return "" if package == "__main__" else package


def read_files(root: Path = ROOT) -> dict[str, File]:
    """Read all Python files of the repository, by the name of their module."""
    paths = {_module_name(path, root): path for path in _paths(root)}
    return {name: _read(name, path, frozenset(paths)) for name, path in paths.items()}


def package_imports(files: Mapping[str, File]) -> set[tuple[str, str]]:
    """Return the pairs of packages of which the first imports the second."""
    pairs = {(file.package, package_of(target)) for file in files.values() for target in file.imports}
    return {(start, end) for start, end in pairs if start and end and start != end}


def upward_imports(pairs: Iterable[tuple[str, str]], layers: list[str]) -> list[tuple[str, str]]:
    """Return the imports that lead to a higher layer. Packages without a layer (the programs) stand above all."""
    height = {name.strip(): -row for row, layer in enumerate(layers) for name in layer.split(":")}
    return sorted((a, b) for a, b in pairs if b in height and height.get(a, 1) < height[b])


def import_cycles(files: Mapping[str, File]) -> list[list[str]]:
    """Return the groups of files that import each other in a loop (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for target in sorted(files[name].imports):
            if target not in order:
                visit(target)
            if target in stack:
                lowest[name] = min(lowest[name], lowest[target])
        if lowest[name] == order[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            found.append(sorted(group))

    for name in sorted(files):
        if name not in order:
            visit(name)
    return [group for group in found if len(group) > 1]


def lone_modules(files: Mapping[str, File]) -> list[tuple[str, str]]:
    """Return files of the package with a single importer in the same folder, each with that importer."""
    importers: dict[str, set[str]] = defaultdict(set)
    for file in files.values():
        if _is_of_package(file.name):
            for target in file.imports:
                importers[target].add(file.name)
    single = ((name, *found) for name, found in importers.items() if len(found) == 1 and _is_of_package(name))
    return sorted((name, importer) for name, importer in single if files[name].folder == files[importer].folder)


def layers_of(root: Path = ROOT) -> list[str]:
    """Read the layers of the import contract, the highest first."""
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers: list[str] = next(one for one in settings["contracts"] if one["id"] == "layers")["layers"]
    return layers


def count(files: Mapping[str, File], layers: list[str]) -> dict[str, float]:
    """Count everything that LIMITS bounds, and the number and median length of files."""
    own = [file for file in files.values() if _is_of_package(file.name)]
    pairs = package_imports(files)
    return {
        "packages": len({file.package for file in files.values() if file.package}),
        "package imports": len(pairs),
        "import cycles": len(import_cycles(files)),
        "upward imports": len(upward_imports(pairs, layers)),
        "files": len(own),
        "median file": statistics.median(file.num_lines for file in own),
        f"files over {MAX_LINES} lines": sum(file.num_lines > MAX_LINES for file in files.values()),
        "median function": statistics.median(lines for file in own for lines in file.functions),
        "lone modules": len(lone_modules(files)),
    }


def draw_svg(files: Mapping[str, File], layers: list[str]) -> str:
    """Draw the packages as boxes, layer by layer, with the imports between them."""
    rows = [[name.strip() for name in layer.split(":")] for layer in layers]
    known = {name for row in rows for name in row}
    packages = {file.package for file in files.values() if file.package}
    rows = [row for row in [sorted(packages - known), *([n for n in row if n in packages] for row in rows)] if row]
    width, row_height, box = 1100, 84, (150, 44)
    lines = defaultdict(int)
    for file in files.values():
        lines[file.package] += file.num_lines
    place = {
        name: (width * (column + 0.5) / len(row), 40 + row_height * number)
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {row_height * len(rows) + 20}" '
        'font-family="sans-serif" font-size="13" text-anchor="middle">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for start, end in sorted(package_imports(files)):
        (x1, y1), (x2, y2) = place[start], place[end]
        colour = "#c33" if y2 < y1 else "#9ab"
        parts.append(
            f'<path d="M{x1:.0f},{y1 + box[1] / 2:.0f} C{x1:.0f},{(y1 + y2) / 2:.0f} {x2:.0f},{(y1 + y2) / 2:.0f} '
            f'{x2:.0f},{y2 - box[1] / 2:.0f}" fill="none" stroke="{colour}" stroke-opacity="0.6"/>'
        )
    for name, (x, y) in place.items():
        parts.append(
            f'<rect x="{x - box[0] / 2:.0f}" y="{y - box[1] / 2:.0f}" width="{box[0]}" height="{box[1]}" rx="6" '
            f'fill="#f4f6f8" stroke="#456"/><text x="{x:.0f}" y="{y - 2:.0f}" font-weight="bold">{name}</text>'
            f'<text x="{x:.0f}" y="{y + 15:.0f}" fill="#678">{lines[name]:,} lines</text>'
        )
    return "\n".join([*parts, "</svg>\n"])


def _paths(root: Path) -> Iterator[Path]:
    for folder in (root / "src", *(root / name for name in PROGRAMS)):
        yield from sorted(folder.rglob("*.py"))


def _module_name(path: Path, root: Path) -> str:
    base = root / "src" if path.is_relative_to(root / "src") else root
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(name: str, path: Path, modules: frozenset[str]) -> File:
    text = path.read_text()
    nodes = list(ast.walk(ast.parse(text)))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = tuple(_num_code_lines(node) for node in nodes if isinstance(node, kinds))
    found = {target for node in nodes for target in _targets(node, modules)}
    return File(name, path.parent, text.count("\n"), functions, frozenset(found - {name}))


def _num_code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function without its docstring."""
    first, lines = function.body[0], (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function, clean=False) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def _targets(node: ast.AST, modules: frozenset[str]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            if whole in modules:
                yield whole
            elif node.module in modules:
                yield node.module


def _is_of_package(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def main() -> int:
    """Print the counts, each with its limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a picture of the packages")
    parser.add_argument("--check", action="store_true", help="exit code 1 if a count is over its limit")
    options = parser.parse_args()
    files, layers = read_files(), layers_of()
    counts = count(files, layers)
    for name, value in counts.items():
        print(f"{name:<22}{value:>7g}" + (f"   at most {LIMITS[name]:g}" if name in LIMITS else ""))
    for title, entries in (
        ("cycle", [" ".join(group) for group in import_cycles(files)]),
        ("upward", [f"{a} -> {b}" for a, b in upward_imports(package_imports(files), layers)]),
        ("long", [f"{file.name} ({file.num_lines})" for file in files.values() if file.num_lines > MAX_LINES]),
        ("lone module", [f"{name} <- {importer}" for name, importer in lone_modules(files)]),
    ):
        print(*(f"{title}: {entry}" for entry in entries), sep="\n")
    if options.svg:
        options.svg.write_text(draw_svg(files, layers))
    return int(options.check and any(counts[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    raise SystemExit(main())
