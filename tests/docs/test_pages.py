"""The pages: their code runs, their links lead somewhere, their generated parts are fresh."""

import io
import json
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from arctone.cli.main import run
from arctone.model_folder.folder import write_hashes
from tests.training.published_parts import converted_model, write_sounds
from tools import changelog, reference
from tools.blocks import ROOT, Block, blocks, pages

PAGES = sorted({*pages(), *ROOT.glob("*.md")})
CARD = ROOT / "src" / "arctone" / "bundled" / "spark" / "card.md"
WITH_CODE = [page for page in pages() if any(block.not_run is None for block in blocks(page))]


# README runs the bundled model, as its readers will, and so does tuning, whose sounds are longer than the tiny model's.
# On the other pages the tiny model answers to its name.
# Has a shrunk Stable Audio Open small in runs/sao-base, and my-sounds.
WITH_SHRUNK_BASE = ("arc-stable-audio-open-small.md",)
AS_PRINTED = ("README.md", "fine-tune.md")
LINE = re.compile(r'(?:echo "(?P<said>[^"$`]*)" \| )?arctone (?P<words>[^;&`$]*)$')


@pytest.fixture(scope="module")
def tiny_spark(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of bundled models in which `spark` is the tiny model."""
    bundled = tmp_path_factory.mktemp("bundled")
    shutil.copytree(tiny_model_folder, bundled / "spark")
    config = json.loads((bundled / "spark" / "config.json").read_text())
    (bundled / "spark" / "config.json").write_text(json.dumps({**config, "name": "spark"}))
    write_hashes(bundled / "spark")
    return bundled


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_runs(page, tmp_path, monkeypatch, capfdbinary, tiny_spark):
    """All blocks of a page, in order, in one empty folder and in this process; Python blocks share their names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ARCTONE_MODELS", str(tmp_path / "no models"))
    if page.name not in AS_PRINTED:
        monkeypatch.setattr("arctone.model_folder.folder.BUNDLED", tiny_spark)
    if page.name in WITH_SHRUNK_BASE:
        (tmp_path / "runs").mkdir()
        converted_model("small-base", tmp_path / "shrunk").rename(tmp_path / "runs" / "sao-base")
        write_sounds(tmp_path / "my-sounds")
    names: dict[str, object] = {"__name__": "page"}
    for block in blocks(page):
        if block.not_run is None and block.language == "python":
            exec(compile("\n" * block.line + block.code, str(block.page), "exec"), names)
        elif block.not_run is None:
            assert_harmless(block)
            for line in block.code.splitlines():
                run_line(block, line, monkeypatch, capfdbinary)


def run_line(block: Block, line: str, monkeypatch, capfdbinary) -> None:
    """Run one command as a shell would: quotes and comments, a pipe from echo, standard output into a file."""
    found = LINE.match(line)
    assert found, f"{block.name}: {line}"
    words, into = shlex.split(found["words"], comments=True), None
    if ">" in words:
        into = words[words.index(">") + 1]
        words = words[: words.index(">")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{found['said'] or ''}\n".encode())))
    capfdbinary.readouterr()
    code = run(words)
    sys.stdout.flush()
    captured = capfdbinary.readouterr()
    assert code == 0, f"{block.name}: {captured.err.decode()}"
    if into:
        Path(into).write_bytes(captured.out)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_shell_blocks_that_are_run_only_call_arctone(page):
    for block in blocks(page):
        if block.language == "sh" and block.not_run is None:
            assert_harmless(block)


def assert_harmless(block: Block) -> None:
    """A page that is tested must not install, delete or fetch anything."""
    for line in block.code.splitlines():
        assert LINE.match(line), f"{block.name}: {line}"


def test_the_runner_finds_blocks_marks_and_lines(tmp_path):
    page = ROOT / "README.md"
    found = {block.code.splitlines()[0].split("#")[0].strip(): block for block in blocks(page)}
    assert found["make sound"].not_run == "installs packages"
    lines = page.read_text().splitlines()
    block = found["import arctone"]
    assert lines[block.line] == "import arctone"
    assert (block.language, block.not_run) == ("python", None)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]+)?\)", page.read_text()):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def anchors(page):
    """What a link can lead to within a page: its headings, as they are written in addresses, and named places."""
    text = page.read_text()
    words = [re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in re.findall(r"^#+ (.*)$", text, re.M)]
    return {heading.replace(" ", "-") for heading in words} | set(re.findall(r'<a id="([\w-]+)">', text))


@pytest.mark.parametrize("page", [*PAGES, CARD], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_pages_lead_to_a_heading(page):
    # The card is copied with the model, so its links start at the root of the repository.
    folder = ROOT if page == CARD else page.parent
    for target, anchor in re.findall(r"\]\(([^)#\s:]*)#([\w-]+)\)", page.read_text()):
        there = folder / target if target else page
        assert anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


def test_every_page_is_in_the_contents():
    contents = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        if page.parent.name != "cli" and page.name != "index.md":
            assert f"({page.relative_to(ROOT / 'docs')})" in contents


def test_the_map_names_folders_that_exist():
    text = (ROOT / "README.md").read_text()
    rows = text[text.index("## Map") : text.index("## Licence")].splitlines()
    named = [name for row in rows if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "src/arctone" / name).exists(), name


def test_the_reference_is_fresh():
    assert list(reference.stale()) == [], "run make docs"


def test_the_changelog_is_in_order():
    assert changelog.main() == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("## 1.0.0\n", "is not"),
        ("## 0.9.0 (2026-01-01)\n", "no entry"),
        ("## 0.9.0 (unreleased)\n## 1.0.0 (2026-01-01)\n", "order"),
        ("## 1.0.0 (unreleased)\n### New\n", "New"),
    ],
)
def test_a_wrong_changelog_is_noticed(text, problem):
    assert problem in " ".join(changelog.problems(text, "1.0.0"))


def test_the_readme_says_how_to_test_and_ci_does_so():
    assert "make test" in (ROOT / "README.md").read_text()
    assert re.findall(r"^make \w+$", (ROOT / ".ci/run").read_text(), re.M) == ["make check", "make test"]
