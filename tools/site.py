"""Build the documentation as a site of static pages: python -m tools.site

The pages are plain Markdown that reads well anywhere. This program copies them into a folder as Sphinx expects them and
builds strictly, so that a warning is an error:

- docs/ is the root; README, CONTRIBUTING, MODEL_CARD and CHANGELOG become pages of their own;
- the navigation is made from the headings and links of docs/index.md;
- the dated tables of benchmarks/results/ belong to the benchmarks page;
- a source file that docs/reference/python.md links to becomes a page made from its docstrings;
- other links out of the pages become the path they name; links to sounds become players;
- where `make web` has written build/web, the studio becomes part of the site, and sounds of the gallery link to it.

The site lies in build/site and loads nothing from other hosts, which the program checks.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
STAGE = ROOT / "build" / "site-source"
SITE = ROOT / "build" / "site"
STUDIO = ROOT / "build" / "web"
API = DOCS / "reference" / "python.md"
EXTRA_PAGES = ("README.md", "CONTRIBUTING.md", "MODEL_CARD.md", "CHANGELOG.md")
GALLERY = DOCS / "gallery"
SOUNDS = (".opus", ".ogg", ".wav", ".flac", ".mp3")
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]+)?\)")
_FENCE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.M | re.S)
# Narrow, so that tables with players fit a page; browsers then show the button and the time.
_PLAYER = 'controls preload="none" style="width: 9em"'
_PLAYED = re.compile(r'<audio\b[^>]*? src="(?P<address>[^"]+)"')
# Of a record's request: what has no place in a link, because it is about the machine or about several takes.
_NOT_LINKED = ("threads", "variations", "diverse")
_LOADED = re.compile(
    r"<(?:script|img|audio|source|iframe|link)\b[^>]*?(?:src|href)=[\"'](?P<address>(?:https?:)?//[^\"']+)"
)


def staged_pages() -> dict[Path, Path]:
    """Map every file of the site to its place below the stage: pages, pictures, sounds and API pages."""
    files = [path for path in DOCS.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    found = {path: path.relative_to(DOCS) for path in files if path.name != "conf.py"}
    found |= {ROOT / name: Path(name.lower()) for name in EXTRA_PAGES}
    found |= {path: Path("results", path.name) for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    return found | {path: api_place(path) for path in api_sources()}


def api_sources() -> list[Path]:
    """Find the source files that the Python page links to, in its order."""
    targets = [API.parent / match["target"] for match in _LINK.finditer(API.read_text())]
    return list(dict.fromkeys(target.resolve() for target in targets if target.suffix == ".py"))


def module_name(source: Path) -> str:
    """Name the module of a source file: `arctone.flow.schedules`."""
    return ".".join(source.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")


def api_place(source: Path) -> Path:
    """Choose the place of a module's page below the stage."""
    return Path("reference", "api", f"{module_name(source)}.md")


def api_page(source: Path) -> str:
    """Write the page of a module: Sphinx fills it from the docstrings."""
    name = module_name(source)
    directive = f".. automodule:: {name}\n   :members:\n   :member-order: bysource\n   :show-inheritance:\n"
    return f"# {name}\n\n```{{eval-rst}}\n{directive}```\n"


def rewritten(text: str, page: Path, places: dict[Path, Path]) -> str:
    """Adapt the links of a page to its place in the site, leaving code alone."""
    parts = _FENCE.split(text)
    parts[::2] = [_LINK.sub(lambda match: link(match, page, places), part) for part in parts[::2]]
    return "".join(parts)


def link(match: re.Match[str], page: Path, places: dict[Path, Path]) -> str:
    """Rewrite one link: within the site, a player for a sound, or the plain path of anything else in the repository."""
    target = match["target"]
    if not target or target.startswith(("http://", "https://", "mailto:")):
        return match[0]
    path = (page.parent / target).resolve()
    if path in places:
        address = os.path.relpath(places[path], places[page].parent) + (match["anchor"] or "")
        if path.suffix in SOUNDS:
            player = f'<audio {_PLAYER} src="{address}" title="{match["text"]}"></audio>'
            return player + (studio_link(path) if STUDIO.is_dir() and path.parent == GALLERY else "")
        return f"{match['image']}[{match['text']}]({address})"
    if not path.exists():
        raise SystemExit(f"{page.relative_to(ROOT)} links to {target}, which does not exist.")
    return f"{match['text']} (`{path.relative_to(ROOT)}`)"


def studio_link(sound: Path) -> str:
    """Link a sound of the gallery to the studio next to the site, with every setting of its record."""
    return f' <a href="studio/index.html#{address(sound)}">make it here</a>'


def address(sound: Path) -> str:
    """Write the settings in a sound's record as the studio reads them from an address.

    Args:
        sound: An Opus file of arctone. If it was made from another sound, that one lies next to it.

    Returns:
        Names and values, "prompt=rain&seed=7"; of an edit `source` is the address of the sound that it starts from.
    """
    import soundfile

    with soundfile.SoundFile(sound) as file:
        record = json.loads(file.comment or "{}")
    request = record.get("request", {})
    left_out = {*_NOT_LINKED, *(["duration_seconds"] if request.get("bars") else [])}
    settings = {name: value for name, value in request.items() if name not in left_out and _is_set(value)}
    values = {name: _as_text(value) for name, value in settings.items()}
    if record.get("source"):
        values["source"] = address(sound.with_name(record["source"]["name"]).with_suffix(sound.suffix))
    return urlencode(values)


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ("", [])


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def navigation(contents: str) -> str:
    """Make Sphinx's navigation from the contents page: a caption for each heading, an entry for each link below it."""
    parts = []
    for section in contents.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        entries = [match["target"] for match in _LINK.finditer(body) if match["target"].endswith(".md")]
        parts.append("\n".join(["```{toctree}", ":hidden:", f":caption: {title}", "", *entries, "```"]))
    return "\n\n".join(parts)


def stage() -> None:
    """Write the stage, touching only files that changed, and drop what is no longer part of the site."""
    places = staged_pages()
    places = {path.resolve(): place for path, place in places.items()}
    for path, place in places.items():
        target = STAGE / place
        target.parent.mkdir(parents=True, exist_ok=True)
        data = staged_content(path, places)
        if not target.is_file() or target.read_bytes() != data:
            target.write_bytes(data)
    kept = {STAGE / place for place in places.values()}
    for path in STAGE.rglob("*"):
        if path.is_file() and path not in kept:
            path.unlink()


def staged_content(path: Path, places: dict[Path, Path]) -> bytes:
    """Return what a file is in the stage."""
    if path.suffix == ".py":
        return api_page(path).encode()
    if path.suffix != ".md":
        return path.read_bytes()
    text = rewritten(path.read_text(), path, places)
    if path == DOCS / "index.md":
        text += "\n" + navigation(text) + "\n"
    commands = DOCS / "reference" / "cli" / "index.md"
    below = {API: "api/*", commands: "*", DOCS / "benchmarks.md": "results/*"}.get(path)
    if below:
        text += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{below}\n```\n"
    return text.encode()


def foreign_hosts() -> list[str]:
    """Find what the built pages load from other hosts, one sentence each."""
    found = []
    for path in SITE.rglob("*.html"):
        for match in _LOADED.finditer(path.read_text()):
            if 'rel="canonical"' not in match[0]:
                found.append(f"{path.relative_to(SITE)} loads {match['address']}.")
    for path in SITE.rglob("*.css"):
        if re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", path.read_text()):
            found.append(f"{path.relative_to(SITE)} loads from another host.")
    return found


def copy_sounds() -> None:
    """Copy the sounds next to the built pages: players are plain HTML, which Sphinx does not follow."""
    for path in STAGE.rglob("*"):
        if path.suffix in SOUNDS:
            target = SITE / path.relative_to(STAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def missing_sounds(site: Path = SITE) -> list[str]:
    """Find the players of the built pages whose sound is not part of the site, one sentence each."""
    return [
        f"{path.relative_to(site)} plays {match['address']}, which is not part of the site."
        for path in site.rglob("*.html")
        for match in _PLAYED.finditer(path.read_text())
        if not (path.parent / match["address"]).is_file()
    ]


def main() -> int:
    """Build the site. Returns the exit code."""
    stage()
    options = ["-W", "--keep-going", "-q", "-b", "html", "-c", str(DOCS), "-d", str(ROOT / "build" / "site-cache")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "sphinx", *options, str(STAGE), str(SITE)]
    done = subprocess.run(command, env=environment, check=False)
    if done.returncode:
        return done.returncode
    copy_sounds()
    if STUDIO.is_dir():
        shutil.copytree(STUDIO, SITE / "studio", dirs_exist_ok=True)
    found = foreign_hosts() + missing_sounds()
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    if "--clean" in sys.argv[1:]:
        shutil.rmtree(ROOT / "build" / "site-cache", ignore_errors=True)
        shutil.rmtree(SITE, ignore_errors=True)
    sys.exit(main())
