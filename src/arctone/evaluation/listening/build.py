"""Build the folder of a listening test: stimuli, the page, the key."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import msgspec
import numpy as np

from arctone.errors import UsageError
from arctone.evaluation.listening import webmushra
from arctone.evaluation.listening.choice import (
    NUM_POINTS,
    SCALES,
    Dimension,
    by_prompt,
    choose,
    read_captions,
    read_clips,
)
from arctone.evaluation.listening.design import (
    ANCHOR_HZ,
    FORMAT_VERSION,
    RESERVED,
    Cell,
    Design,
    Key,
    Kind,
    Presentation,
    Question,
    StimulusRecord,
    make_design,
)
from arctone.evaluation.listening.stimuli import (
    GAP_SECONDS,
    LOW_TARGET_LUFS,
    SAMPLE_RATE,
    TARGET_LUFS,
    Joined,
    Levels,
    Sound,
)
from arctone.files.atomic import folder_atomically, refuse_folder
from arctone.version import __version__

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


def balance_orders(num_conditions: int, num_prompts: int, num_orders: int, seed: int) -> list[list[Place]]:
    """Orders of all (condition, prompt) cells, in rounds that hold each condition once, on different prompts where
    there are enough of them.

    There are at least `num_orders`, up to the next whole number of squares; `seed` draws the order of the prompts.
    """
    square = williams_square(num_conditions)
    count = -(-num_orders // len(square)) * len(square)
    return [_page_order(square, number, num_prompts, seed) for number in range(count)]


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


def _page_order(square: list[list[int]], number: int, num_prompts: int, seed: int) -> list[Place]:
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
        *(_page_question(design, trial, cell, 1, practice=True) for trial, cell in practice.values()),
        *(_page_question(design, trial, *shown) for named in trials.values() for trial, shown in named.items()),
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


def _page_question(design: Design, trial: str, cell: Cell, occasion: int, *, practice: bool = False) -> Question:
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
    cells = dict(practice.values()) | {trial: shown[0] for named in trials.values() for trial, shown in named.items()}
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
    rows = balance_orders(len(conditions), len(prompts), NUM_ORDERS, seed)
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


SECONDS_PER_RATING = 6


def protocol(key: Key, design: Design, shown: Presentation, warnings: Sequence[str]) -> str:
    """Markdown: systems, prompts, levels, order, scales, what a listener does and how long it takes."""
    sections = [
        f"# {key.title}\n\nListening test {key.test}, made by arctone {key.arctone} with seed {key.seed}. "
        "This file names the systems: keep it from listeners, like key.json next to it. They get `listeners`.",
        _bullets("Systems", [f"{name}: {_conditions(name)}" for name in _all_conditions(design)]),
        _bullets("Prompts", key.prompts),
        _bullets("Sounds", _sounds(key, shown)),
        _bullets("Questions", [_question(design, shown, name) for name in design.dimensions]),
        _bullets("Order and length", _order(key, shown)),
    ]
    return "\n\n".join(sections + ([_bullets("Warnings", warnings)] if warnings else [])) + "\n"


def _all_conditions(design: Design) -> list[str]:
    return list(dict.fromkeys(name for names in design.conditions.values() for name in names))


def _conditions(name: str) -> str:
    if name in ANCHOR_HZ:
        return f"the reference through a low-pass of {ANCHOR_HZ[name] / 1000:g} kHz (ITU-R BS.1534-3), for quality only"
    return "the real sound, hidden among the others" if name == "reference" else "a system under test"


def _sounds(key: Key, shown: Presentation) -> list[str]:
    below = "" if key.loudness_lufs == TARGET_LUFS else f" (instead of {TARGET_LUFS:g}, because of one sound's peaks)"
    lines = [
        f"Every sound, references and anchors too, was brought to {key.loudness_lufs:.1f} LUFS (ITU-R BS.1770-4)"
        f"{below}; so loudness differences between the systems are not part of this test.",
        "All clips of a prompt were cut to the shortest of them, with a fade of 20 ms.",
        "44.1 kHz, stereo, 16 bit WAV, without tags, under names made by a keyed hash.",
    ]
    if any(not isinstance(stimulus, Sound) for stimulus in shown.stimuli.values()):
        lines.append(f"Clips whose diversity is judged follow each other in one file, {GAP_SECONDS:g} s apart.")
    return lines


def _question(design: Design, shown: Presentation, dimension: str) -> str:
    name = next(known for known in SCALES if known == dimension)
    scale, (low, high) = SCALES[name], shown.limits[name]
    words = "; ".join(f"{number} {word}" for number, word in enumerate(scale.words, start=1))
    answers = words if high <= len(scale.words) else f"a slider from {low} to {high}, next to the open reference"
    return f"{scale.name} ({dimension}), {len(design.conditions[name])} conditions: {scale.question} {answers}."


def _order(key: Key, shown: Presentation) -> list[str]:
    repeats = sum(question.occasion == 2 for question in key.questions)
    minutes = (shown.heard_seconds + SECONDS_PER_RATING * shown.num_ratings) / 60
    balanced = (
        "Williams squares over the listeners' numbers, the dimensions in rotation"
        if key.kind == "page"
        else "drawn by webMUSHRA for each listener: the dimensions, the pages of each, the sounds of each page"
    )
    return [
        f"Order: {balanced}.",
        f"{shown.num_ratings} ratings by each listener, of which {repeats} are repeats that measure consistency and "
        f"{sum(question.is_practice for question in key.questions)} are practice that does not count.",
        f"About {minutes:.0f} minutes, if each sound is heard once and a rating takes {SECONDS_PER_RATING} s.",
    ]


def _bullets(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines)


KIND = "listening test"
MAX_SYSTEMS = 16
_NAME = re.compile(r"[\w.+-][\w .+-]{0,39}")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class BuildSettings:
    """How a test is made.

    Args:
        seed: Of all draws and of the names.
        kind: "page" or "webmushra".
        num_prompts: None for 8, or what there is.
        clips_per_prompt: None for 3, or what there is.
    """

    seed: int
    kind: Kind = "page"
    title: str = "Listening test"
    num_prompts: int | None = None
    clips_per_prompt: int | None = None
    num_repeats: int = 4
    dimensions: tuple[Dimension, ...] = tuple(SCALES)

    def __post_init__(self) -> None:
        if self.kind not in ("page", "webmushra"):
            raise UsageError(f"kind must be page or webmushra, got '{self.kind}'.", field="kind")
        for dimension in self.dimensions:
            if dimension not in SCALES:
                raise UsageError(f"dimension must be {', '.join(SCALES)}, got '{dimension}'.", field="dimension")
        for name, value, least in (
            ("prompts", self.num_prompts, 1),
            ("clips_per_prompt", self.clips_per_prompt, 1),
            ("repeats", self.num_repeats, 0),
            ("seed", self.seed, 0),
        ):
            if value is not None and value < least:
                raise UsageError(f"{name} must be at least {least}, got {value}.")
        if not self.title.strip() or len(self.title) > 100:
            raise UsageError("title must have 1 to 100 letters.", field="title")


@dataclass(frozen=True)
class Built:
    """A finished test: its folder, its key, and warnings for the person who built it."""

    folder: Path
    key: Key
    warnings: tuple[str, ...]


def build(
    systems: Mapping[str, str | Path],
    out: str | Path,
    settings: BuildSettings,
    *,
    reference: str | Path | None = None,
    captions: str | Path | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Built:
    """Make a listening test.

    Args:
        systems: Folders (manifests, shards) by name, at least two.
        out: New folder.
        settings: Scales, loudness and layout.
        reference: Real sounds of the same prompts.
        captions: A manifest with captions for files that go without.
        force: Whether files that exist are replaced.
        progress: Called with (done, total) sounds.

    Returns:
        Folder, key and warnings.

    Raises:
        UsageError: for a value that is not allowed.
        InputFileError: in one sentence; then `out` is as it was before.
    """
    _refuse_names(list(systems))
    refuse_folder(Path(out), KIND, force=force)
    design, warnings = _designed(systems, settings, reference, captions)
    shown = present(design) if settings.kind == "page" else webmushra.present(design)
    levels = Levels(design.sounds())
    if levels.target_lufs < LOW_TARGET_LUFS:
        warnings += (f"The test is very soft ({levels.target_lufs:.0f} LUFS), because one sound is nothing but peaks.",)
    key = _key(design, shown, levels, settings)
    with folder_atomically(out, KIND, force=force) as folder:
        _write_listeners(folder / "listeners", shown, levels, settings.seed, progress or (lambda done, total: None))
        (folder / "key").mkdir()
        data = msgspec.json.format(msgspec.json.encode(key), indent=1)
        (folder / "key" / "key.json").write_bytes(data + b"\n")
        (folder / "key" / "protocol.md").write_text(protocol(key, design, shown, warnings), encoding="utf-8")
    return Built(Path(out), key, warnings)


def _refuse_names(names: Sequence[str]) -> None:
    if not 2 <= len(names) <= MAX_SYSTEMS:
        raise UsageError(
            f"system must be given 2 to {MAX_SYSTEMS} times, as NAME=FOLDER, got {len(names)}.", field="system"
        )
    for name in names:
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise UsageError(
                f"system has the name '{name}', but a name has 1 to 40 letters, digits, spaces or ._+- and is none of "
                f"{', '.join(RESERVED)}.",
                field="system",
            )


def _designed(
    systems: Mapping[str, str | Path],
    settings: BuildSettings,
    reference: str | Path | None,
    captions: str | Path | None,
) -> tuple[Design, tuple[str, ...]]:
    listed = read_captions(captions) if captions is not None else None
    choice = choose(
        {name: by_prompt(read_clips(spec, listed)) for name, spec in systems.items()},
        by_prompt(read_clips(reference, listed), all_wordings=True) if reference is not None else None,
        settings.dimensions,
        num_prompts=settings.num_prompts,
        clips_per_prompt=settings.clips_per_prompt,
        seed=settings.seed,
    )
    design = make_design(
        choice,
        list(systems),
        settings.dimensions,
        seed=settings.seed,
        title=settings.title.strip(),
        num_repeats=settings.num_repeats,
        num_anchors=1 if settings.kind == "page" else 2,
    )
    return design, choice.warnings


def _write_listeners(folder: Path, shown: Presentation, levels: Levels, seed: int, progress: Progress) -> None:
    for path, text in shown.texts.items():
        _write(folder / path, text)
    _write(folder / shown.volume_path, levels.volume_file(seed))
    for number, (path, stimulus) in enumerate(shown.stimuli.items()):
        progress(number, len(shown.stimuli))
        _write(folder / path, levels.file(stimulus))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _key(design: Design, shown: Presentation, levels: Levels, settings: BuildSettings) -> Key:
    origins = {sound.name: (cell.system, cell.prompt) for cell in design.cells.values() for sound in cell.sounds}
    return Key(
        format_version=FORMAT_VERSION,
        arctone=__version__,
        test=design.blinding.name("t"),
        kind=settings.kind,
        title=design.title,
        seed=settings.seed,
        systems=design.systems,
        has_reference=bool(design.choice.references),
        prompts=design.choice.prompts,
        limits=shown.limits,
        loudness_lufs=round(levels.target_lufs, 2),
        questions=shown.questions,
        stimuli=tuple(_record(stimulus, origins, levels) for stimulus in shown.stimuli.values()),
    )


def _record(stimulus: Sound | Joined, origins: Mapping[str, tuple[str, str]], levels: Levels) -> StimulusRecord:
    sounds = (stimulus,) if isinstance(stimulus, Sound) else stimulus.sounds
    system, prompt = origins[sounds[0].name]
    seconds = sum(sound.num_samples for sound in sounds) / SAMPLE_RATE + GAP_SECONDS * (len(sounds) - 1)
    return StimulusRecord(
        name=stimulus.name,
        system=system,
        prompt=prompt,
        files=tuple(sound.clip.name for sound in sounds),
        gains_db=tuple(round(levels.gains_db[sound.name], 3) for sound in sounds),
        duration_seconds=round(seconds, 4),
    )
