"""Our own listening page: one static folder that works from a disk, a web server or `arctone listen serve`."""

from collections.abc import Mapping, Sequence
from importlib.resources import files

import msgspec
import numpy as np

from arctone.evaluation.listening.design import Cell, Design, Presentation
from arctone.evaluation.listening.key import Question
from arctone.evaluation.listening.scales import NUM_POINTS, SCALES, Dimension
from arctone.evaluation.listening.stimuli import SAMPLE_RATE

Place = tuple[int, int]


def williams_square(num_conditions: int) -> list[list[int]]:
    """Orders of the conditions 0 to num_conditions - 1: each stands at each place equally often, and follows each
    other one equally often. As many rows as conditions if their number is even, else twice as many.

    >>> williams_square(4)
    [[0, 3, 1, 2], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 0, 1]]
    """
    zigzag = [place // 2 if place % 2 == 0 else num_conditions - (place + 1) // 2 for place in range(num_conditions)]
    rows = [[(condition + shift) % num_conditions for condition in zigzag] for shift in range(num_conditions)]
    return rows if num_conditions % 2 == 0 else rows + [row[::-1] for row in rows]


def balanced_orders(num_conditions: int, num_prompts: int, num_orders: int, seed: int) -> list[list[Place]]:
    """Orders of all (condition, prompt) cells, in rounds that hold each condition once, on different prompts where
    there are enough of them.

    Args: num_orders: at least so many are made, up to the next whole number of squares. seed: of the prompts' order.
    """
    square = williams_square(num_conditions)
    count = -(-num_orders // len(square)) * len(square)
    return [_order(square, number, num_prompts, seed) for number in range(count)]


def with_repeats(order: Sequence[str], repeats: Mapping[str, str]) -> list[str]:
    """The order with each repeat (repeat: original) about half the trials away from its original: originals of the
    first half come again later, those of the second half have been heard before under the repeat's name."""
    places: list[tuple[float, str]] = [(float(place), trial) for place, trial in enumerate(order)]
    half = len(order) / 2
    for number, (repeat, original) in enumerate(sorted(repeats.items())):
        place = order.index(original)
        target = place + half if place < half else place - half
        places.append((target - 0.5 + 1e-3 * number, repeat))
    return [trial for _, trial in sorted(places)]


def _order(square: list[list[int]], number: int, num_prompts: int, seed: int) -> list[Place]:
    prompts = np.random.default_rng([seed, number]).permutation(num_prompts)
    return [
        (condition, int(prompts[(turn + condition) % num_prompts]))
        for turn in range(num_prompts)
        for condition in square[(number + turn) % len(square)]
    ]


ASSETS = ("index.html", "page.css", "page.js", "receiver.js")
NUM_ORDERS = 24
_REPEATS, _PRACTICE, _ORDERS = 1, 2, 3

Trials = dict[str, tuple[Cell, int]]


def present(design: Design) -> Presentation:
    """Lay a design out as a page: one trial for each condition on each prompt, the repeats, and one practice each."""
    practice = {dimension: _practice(design, dimension) for dimension in design.dimensions}
    trials = {dimension: _trials(design, dimension) for dimension in design.dimensions}
    questions = [
        *(_question(design, trial, cell, 1, practice=True) for trial, cell in practice.values()),
        *(_question(design, trial, *told) for named in trials.values() for trial, told in named.items()),
    ]
    all_cells = [cell for _, cell in practice.values()] + [cell for t in trials.values() for cell, _ in t.values()]
    volume = design.blinding.name("v") + ".wav"
    seconds = sum(sound.num_samples for cell in all_cells for sound in cell.sounds) / SAMPLE_RATE
    return Presentation(
        tuple(questions),
        {**_assets(), "test.js": _script(design, practice, trials, volume)},
        {f"audio/{sound.name}.wav": sound for sound in design.sounds()},
        f"audio/{volume}",
        dict.fromkeys(design.dimensions, (1, NUM_POINTS)),
        seconds,
        len(all_cells),
    )


def _trials(design: Design, dimension: Dimension) -> Trials:
    """Cell and occasion by opaque name."""
    cells = [design.cells[key] for key in design.cells if key[0] == dimension and key[2] in design.choice.prompts]
    drawn = design.draw(_REPEATS).permutation(len(cells))[: design.num_repeats]
    occasions = [(cell, 1) for cell in cells] + [(cells[int(number)], 2) for number in sorted(drawn)]
    return {design.blinding.name("t", dimension, c.system, c.prompt, n): (c, n) for c, n in occasions}


def _practice(design: Design, dimension: Dimension) -> tuple[str, Cell]:
    system = design.systems[int(design.draw(_PRACTICE).integers(len(design.systems)))]
    cell = design.cells[dimension, system, design.choice.practice]
    return design.blinding.name("t", dimension, "practice"), cell


def _question(design: Design, trial: str, cell: Cell, occasion: int, *, practice: bool = False) -> Question:
    prompts = design.choice.prompts
    return Question(
        trial=trial,
        stimulus="",
        dimension=cell.dimension,
        system=cell.system,
        prompt=prompts.index(cell.prompt) if cell.prompt in prompts else -1,
        occasion=occasion,
        is_practice=practice,
    )


def _script(
    design: Design, practice: dict[Dimension, tuple[str, Cell]], trials: dict[Dimension, Trials], volume: str
) -> bytes:
    """All that the page needs to know, and nothing that tells a system. In a script, because a page that is opened
    from a disk may not read other files."""
    cells = dict(practice.values()) | {trial: told[0] for named in trials.values() for trial, told in named.items()}
    names = list(design.dimensions)
    data = {
        "id": design.blinding.name("t"),
        "title": design.title,
        "volume": volume,
        "scales": {name: _scale(name) for name in names},
        "blocks": [names[shift:] + names[:shift] for shift in range(len(names))],
        "practice": {dimension: trial for dimension, (trial, _) in practice.items()},
        "orders": {name: _orders(design, name, trials[name]) for name in names},
        "trials": {trial: _shown(cells[trial]) for trial in sorted(cells)},
    }
    return b"window.ARCTONE_TEST = " + msgspec.json.format(msgspec.json.encode(data), indent=1) + b";\n"


def _scale(dimension: Dimension) -> dict[str, object]:
    scale = SCALES[dimension]
    return {"name": scale.name, "question": scale.question, "advice": scale.advice, "words": scale.words}


def _orders(design: Design, dimension: Dimension, trials: Trials) -> list[list[str]]:
    conditions, prompts = design.conditions[dimension], design.choice.prompts
    firsts = {(cell.system, cell.prompt): trial for trial, (cell, occasion) in trials.items() if occasion == 1}
    repeats = {t: firsts[cell.system, cell.prompt] for t, (cell, occasion) in trials.items() if occasion == 2}
    seed = int(design.draw(_ORDERS).integers(2**31)) + design.dimensions.index(dimension)
    rows = balanced_orders(len(conditions), len(prompts), NUM_ORDERS, seed)
    named: list[Sequence[str]] = [[firsts[conditions[c], prompts[p]] for c, p in row] for row in rows]
    return [with_repeats(row, repeats) for row in named]


def _shown(cell: Cell) -> dict[str, object]:
    return {
        "dimension": cell.dimension,
        "prompt": cell.prompt if SCALES[cell.dimension].shows_prompt else None,
        "clips": [f"{sound.name}.wav" for sound in cell.sounds],
    }


def _assets() -> dict[str, bytes]:
    folder = files("arctone.evaluation.listening") / "web"
    return {name: (folder / name).read_bytes() for name in ASSETS}
