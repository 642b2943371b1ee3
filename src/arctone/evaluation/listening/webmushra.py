"""The same test for webMUSHRA: a config and a folder of stimuli, to be laid over a copy of it.

Diversity and prompt adherence are pages of the kind likert_multi_stimulus, quality is a mushra page if there are
references and a likert page otherwise. A page holds all conditions of one prompt, so the ratings of a prompt are made
side by side. What a page needs is documented in webMUSHRA's doc/experimenter.md.

References
    M. Schoeffler et al., "webMUSHRA - A Comprehensive Framework for Web-based Listening Tests", Journal of Open
    Research Software 6, 2018. ITU-R BS.1534-3 (MUSHRA).
"""

import html
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from arctone.errors import UsageError
from arctone.evaluation.listening.choice import NUM_POINTS, SCALES, Dimension
from arctone.evaluation.listening.design import LOW_ANCHOR, MID_ANCHOR, REFERENCE, Cell, Design, Presentation, Question
from arctone.evaluation.listening.stimuli import GAP_SECONDS, SAMPLE_RATE, Joined, Sound

Plain = str | int | float | bool | Mapping[str, "Plain"] | Sequence["Plain"]


def to_yaml(value: Mapping[str, Plain]) -> str:
    """Lines with two more spaces a level; strings are always in double quotes.

    >>> print(to_yaml({"pages": [["random", {"id": "a"}]], "size": 2}), end="")
    pages:
      -
        - "random"
        - id: "a"
    size: 2

    Args:
        value: Keys are plain words; no empty maps or lists.

    Returns:
        The lines.
    """
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Plain) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _entry(f"{key}:", item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            yield from _item(item)


def _entry(head: str, value: Plain) -> Iterator[str]:
    if _is_scalar(value):
        yield f"{head} {json.dumps(value, ensure_ascii=False)}"
        return
    yield head
    yield from (f"  {line}" for line in _lines(value))


def _item(value: Plain) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield from _entry("-", value)
        return
    for number, line in enumerate(_lines(value)):
        yield f"{'  ' if number else '- '}{line}"


def _is_scalar(value: Plain) -> bool:
    return isinstance(value, str) or not isinstance(value, Mapping | Sequence)


MUSHRA_LIMITS = (0, 100)
# webMUSHRA refuses more conditions next to the reference, as BS.1534-3 advises.
MAX_MUSHRA_CONDITIONS = 12
LISTENER_FIELD = "listener"
COMFORT_PAGE = "comfort"
_REPEATS = 1

WELCOME = (
    "<p>Please use headphones in a quiet room. You will hear short sounds and rate them; no answer is wrong.</p>"
    "<p>Each part of the test begins with a page for practice.</p>"
)
MUSHRA_QUESTION = (
    "How good is the quality of each sound, compared with the reference? One of them is the reference itself."
)


@dataclass(frozen=True)
class _Page:
    """All conditions of a prompt in one dimension.

    Args:
        id: Opaque.
        occasion: 2 for a repeat.
    """

    id: str
    cells: tuple[Cell, ...]
    occasion: int
    is_practice: bool

    @property
    def dimension(self) -> Dimension:
        return self.cells[0].dimension

    @property
    def is_mushra(self) -> bool:
        return self.dimension == "quality" and any(cell.system == REFERENCE for cell in self.cells)


def present(design: Design) -> Presentation:
    """Lay a design out for webMUSHRA.

    Args:
        design: Questions and stimuli.

    Returns:
        Pages and files.

    Raises:
        UsageError: if there are too many systems for a mushra page.
    """
    _refuse_crowd(design)
    blocks = {dimension: _pages(design, dimension) for dimension in design.dimensions}
    pages = [page for block in blocks.values() for page in block]
    stimuli = {name: sound for page in pages for name, sound in _stimuli(page, design).items()}
    test = design.blinding.name("t")
    folder = f"stimuli/{test}"
    volume = f"{folder}/{design.blinding.name('v')}.wav"
    config = _config(design, test, volume, [_block(design, block, folder) for block in blocks.values()])
    return Presentation(
        tuple(question for page in pages for question in _questions(design, page)),
        {f"configs/{test}.yaml": to_yaml(config).encode()},
        {f"{folder}/{name}.wav": stimuli[name] for name in sorted(stimuli)},
        volume,
        {d: MUSHRA_LIMITS if blocks[d][0].is_mushra else (1, NUM_POINTS) for d in design.dimensions},
        sum(_seconds(sound) for page in pages for sound in _stimuli(page, design).values()),
        sum(len(page.cells) for page in pages),
    )


def _refuse_crowd(design: Design) -> None:
    num_rated = len([name for name in design.conditions.get("quality", ()) if name != REFERENCE])
    if design.choice.references and num_rated > MAX_MUSHRA_CONDITIONS:
        most = MAX_MUSHRA_CONDITIONS - len((LOW_ANCHOR, MID_ANCHOR))
        raise UsageError(
            f"system is given {len(design.systems)} times, but a mushra page takes at most {most} systems.",
            field="system",
        )


def _pages(design: Design, dimension: Dimension) -> list[_Page]:
    """The practice page, the pages of all prompts, the repeats."""
    prompts, conditions = design.choice.prompts, design.conditions[dimension]
    num_repeats = min(len(prompts), -(-design.num_repeats // len(conditions)))
    drawn = design.draw(_REPEATS + design.dimensions.index(dimension)).permutation(len(prompts))[:num_repeats]
    occasions = [(prompt, 1) for prompt in prompts] + [(prompts[int(number)], 2) for number in drawn]

    def page(prompt: str, occasion: int, is_practice: bool = False) -> _Page:
        name = design.blinding.name("p", dimension, prompt, occasion, is_practice)
        return _Page(name, tuple(design.cells[dimension, c, prompt] for c in conditions), occasion, is_practice)

    return [page(design.choice.practice, 1, True), *(page(*occasion) for occasion in occasions)]


def _stimuli(page: _Page, design: Design) -> dict[str, Sound | Joined]:
    return {_stimulus(cell, design).name: _stimulus(cell, design) for cell in page.cells}


def _stimulus(cell: Cell, design: Design) -> Sound | Joined:
    if cell.dimension != "diversity":
        return cell.sounds[0]
    return Joined(design.blinding.name("s", "joined", cell.system, cell.prompt), cell.sounds)


def _questions(design: Design, page: _Page) -> Iterator[Question]:
    prompts = design.choice.prompts
    for cell in page.cells:
        hidden = page.is_mushra and cell.system == REFERENCE
        yield Question(
            trial=page.id,
            # webMUSHRA rates the hidden reference under this name.
            stimulus=REFERENCE if hidden else _stimulus(cell, design).name,
            dimension=page.dimension,
            system=cell.system,
            prompt=prompts.index(cell.prompt) if cell.prompt in prompts else -1,
            occasion=page.occasion,
            is_practice=page.is_practice,
        )


def _config(design: Design, test: str, volume: str, blocks: Sequence[Plain]) -> dict[str, Plain]:
    return {
        "testname": design.title,
        "testId": test,
        "bufferSize": 2048,
        "stopOnErrors": True,
        "showButtonPreviousPage": False,
        "remoteService": "service/write.php",
        "pages": [
            {"type": "generic", "id": "welcome", "name": html.escape(design.title), "content": WELCOME},
            {
                "type": "volume",
                "id": "volume",
                "name": "Volume",
                "content": "Set a comfortable volume for this noise, and leave it there for the whole test.",
                "stimulus": volume,
                "defaultVolume": 0.5,
            },
            _comfort(volume),
            ["random", *blocks],
            {
                "type": "finish",
                "name": "Thank you",
                "content": "Please enter the listener code that you were given, and send your answers.",
                "popupContent": "Your answers were sent. Thank you!",
                "showResults": False,
                "showErrors": True,
                "writeResults": True,
                "questionnaire": [
                    {"type": "text", "label": "Listener code", "name": LISTENER_FIELD, "optional": False}
                ],
            },
        ],
    }


def _comfort(volume: str) -> dict[str, Plain]:
    """The first page that stores an answer. It is of this kind because webMUSHRA's service/write.php counts the
    answers of the first one as those of a likert_single_stimulus page, and under PHP 8 ends with an error if it is
    another."""
    words = ("Too soft", "Comfortable", "Too loud")
    return {
        "type": "likert_single_stimulus",
        "id": COMFORT_PAGE,
        "name": "Volume",
        "content": "Is the volume comfortable? If not, please set the volume of your device.",
        "mustRate": True,
        "stimuli": {"noise": volume},
        "response": [{"value": word, "label": word} for word in words],
    }


def _block(design: Design, pages: Sequence[_Page], folder: str) -> list[Plain]:
    """Introduction, practice, and two random halves: repeats come in the second, their originals in the first."""
    practice, *rest = pages
    repeats = [page for page in rest if page.occasion == 2]
    repeated = {page.cells[0].prompt for page in repeats}
    firsts = sorted(
        (page for page in rest if page.occasion == 1), key=lambda page: page.cells[0].prompt not in repeated
    )
    half = max(len(repeats), len(firsts) // 2)
    scale = SCALES[practice.dimension]
    intro: dict[str, Plain] = {
        "type": "generic",
        "id": f"intro_{practice.dimension}",
        "name": scale.name,
        "content": f"<p>{scale.question}</p><p>{scale.advice}</p><p>The next page is for practice.</p>",
    }
    halves: list[Plain] = [
        ["random", *(_page(page, design, folder) for page in half_pages)]
        for half_pages in (firsts[:half], firsts[half:] + repeats)
        if half_pages
    ]
    return [intro, _page(practice, design, folder), *halves]


def _page(page: _Page, design: Design, folder: str) -> dict[str, Plain]:
    scale = SCALES[page.dimension]
    prompt = html.escape(page.cells[0].prompt)
    described = f"<p>Description: <b>{prompt}</b></p>" if scale.shows_prompt else ""
    paths: dict[str, Plain] = {name: f"{folder}/{name}.wav" for name in sorted(_stimuli(page, design))}
    head: dict[str, Plain] = {
        "type": "mushra" if page.is_mushra else "likert_multi_stimulus",
        "id": page.id,
        "name": f"{scale.name} (practice)" if page.is_practice else scale.name,
        "content": f"<p>{MUSHRA_QUESTION if page.is_mushra else scale.question}</p>{described}",
    }
    return head | (_mushra(page, design, paths) if page.is_mushra else _likert(page.dimension, paths))


def _mushra(page: _Page, design: Design, paths: dict[str, Plain]) -> dict[str, Plain]:
    hidden = next(cell for cell in page.cells if cell.system == REFERENCE)
    reference = _stimulus(hidden, design).name
    return {
        "showWaveform": False,
        "enableLooping": True,
        "strict": True,
        # Our own anchors, brought to the loudness of the rest; webMUSHRA adds the hidden reference itself.
        "createAnchor35": False,
        "createAnchor70": False,
        "randomize": True,
        "showConditionNames": False,
        "reference": paths[reference],
        "stimuli": {name: path for name, path in paths.items() if name != reference},
    }


def _likert(dimension: Dimension, paths: dict[str, Plain]) -> dict[str, Plain]:
    words = SCALES[dimension].words
    return {
        "mustRate": True,
        "mustPlayback": "ended",
        "stimuli": paths,
        "response": [{"value": number, "label": word} for number, word in enumerate(words, start=1)],
    }


def _seconds(stimulus: Sound | Joined) -> float:
    if isinstance(stimulus, Sound):
        return stimulus.num_samples / SAMPLE_RATE
    return sum(map(_seconds, stimulus.sounds)) + GAP_SECONDS * (len(stimulus.sounds) - 1)
