"""Count the words that the project has retired, so that its pages and sentences use those of the field.

python -m tools.words                 fails if a retired word is left, and says where and what to say instead
python -m tools.words --count         how many are left in each file

Read are src/, docs/, benchmarks/, tests/ and the pages of SINGLE. The changelog and the lab notes keep the words of
their time.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
FOLDERS = ("src", "docs", "benchmarks", "tests")
SINGLE = ("README.md", "CONTRIBUTING.md", "MODEL_CARD.md")
ENDINGS = (".py", ".md", ".html", ".js", ".css", ".j2")
# Written by programs from what is read here, or kept as it was written.
LEFT_OUT = re.compile(
    r"^docs/(reference/(cli/.*|http|config)\.md|lab-notes\.md|research.*)$|/vendor/|benchmarks/results/"
    # The test of this program.
    r"|^tests/test_interface\.py$"
)

# Each retired word as a pattern of whole words, and what to say instead. One place for all of them.
RETIRED: dict[str, str] = {
    r"games?": "adversarial (ARC) training",
    r"judg(?:e|es|ed|ing)|judged_calls": "the discriminator sees; evaluated; rollout_steps",
    r"ears": "a name that says: small CLAP trained on our corpus",
    r"heard|not heard": "conditioned on; was truncated",
    r"told|is told of": "receives; reported",
    r"lanes?": "worker",
    r"makers?": "engine protocol",
    r"crews?": "worker config",
    r"papers": "licence and card files",
    r"rivals?": "baselines",
    r"(?:the|whole) road": "pipeline",
    r"(?:the|this) house": "package",
    r"beside": "next to",
    r"anew": "again",
    r"at hand": "available",
    r"in silence": "silently",
    r"so many": "n",
}
# Where people listen and give answers, sounds are heard and judged.
PEOPLE, BY_PEOPLE = re.compile(r"listening"), re.compile(r"heard|judg", re.IGNORECASE)
# Other meanings of the same letters.
ALLOWED = re.compile(
    r"game[_ ](?:audio|developers?|engines?|sounds?|music|over)|game boy|video games?|arxiv papers"
    # An array of the stored recordings of the public program.
    r"|\[\"told\"\]"
    # Prompts of tests.
    r"|accident on the road|drone beside a crackling",
    re.IGNORECASE,
)
# Stored data: models were trained on the corpus' captions, and the same seed gives the same captions; the card of the
# bundled model is part of the model's hash, by which stored results and takes name it.
STORED = re.compile(r"src/arctone/data/corpus/(?:captions|effect_captions)\.py$|src/arctone/bundled/[^/]+/card\.md$")
_WORDS = [
    (re.compile(rf"(?<![A-Za-z])(?:{pattern})(?![A-Za-z])", re.IGNORECASE), say) for pattern, say in RETIRED.items()
]


class Found(NamedTuple):
    """A retired word: where it stands, and what to say instead."""

    path: Path
    line: int
    word: str
    say: str


def pages(root: Path = ROOT) -> list[Path]:
    """Return the files whose words are read."""
    files = [
        *(root / name for name in SINGLE),
        *(path for folder in FOLDERS for path in sorted((root / folder).rglob("*"))),
    ]
    kept = []
    for path in files:
        name = path.relative_to(root).as_posix()
        if path.is_file() and path.suffix in ENDINGS and not LEFT_OUT.search(name) and not STORED.search(name):
            kept.append(path)
    return kept


def retired(path: Path) -> Iterator[Found]:
    """Find the retired words of a file."""
    by_people = PEOPLE.search(path.as_posix())
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        kept = ALLOWED.sub("", line)
        for pattern, say in _WORDS:
            for match in pattern.finditer(kept):
                if not (by_people and BY_PEOPLE.match(match[0])):
                    yield Found(path, number, match[0], say)


def main(words: list[str] | None = None) -> int:
    """Report, and return the exit code: 1 if a retired word is left and nobody asked for counts alone."""
    parser = argparse.ArgumentParser(description="Find retired words.", allow_abbrev=False)
    parser.add_argument("--count", action="store_true", help="print how many are left in each file, and exit with 0")
    options = parser.parse_args(words)
    found = [one for path in pages() for one in retired(path)]
    if options.count:
        for path, number in Counter(one.path for one in found).most_common():
            print(f"{number:5d} {path.relative_to(ROOT)}")
        for word, number in Counter(one.word.lower() for one in found).most_common():
            print(f"{number:5d} '{word}'")
        print(f"{len(found)} retired words in {len({one.path for one in found})} files")
        return 0
    for one in found:
        print(f"{one.path.relative_to(ROOT)}:{one.line}: '{one.word}'; say: {one.say}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
