"""Systems that made sounds, and listeners with known opinions of them."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from arctone.audio.files import write_audio
from arctone.audio.waveform import Waveform
from arctone.evaluation.listening.build import BuildSettings, Built, build
from arctone.evaluation.listening.design import Key, Question

SYSTEMS = ("zephyr", "quartz", "ember")
PROMPTS = tuple(f"sound number {number} & <{number}>" for number in range(9))
RATES = {"zephyr": 44_100, "quartz": 48_000, "ember": 44_100, "real": 44_100}
GAINS = {"zephyr": 0.2, "quartz": 0.002, "ember": 0.05, "real": 0.1}

Opinions = Mapping[tuple[str, str], float]

# What the listeners of `simulated` think of each condition, on the scale of 1 to 5.
OPINIONS: Opinions = {
    ("diversity", "zephyr"): 2.2,
    ("diversity", "quartz"): 2.9,
    ("diversity", "ember"): 3.8,
    ("quality", "zephyr"): 3.4,
    ("quality", "quartz"): 2.7,
    ("quality", "ember"): 3.0,
    ("quality", "reference"): 4.3,
    ("quality", "anchor35"): 1.5,
    ("adherence", "zephyr"): 3.0,
    ("adherence", "quartz"): 3.0,
    ("adherence", "ember"): 2.2,
    ("adherence", "reference"): 4.0,
}


def make_systems(folder: Path, prompts: tuple[str, ...] = PROMPTS, seconds: float = 0.3) -> Path:
    """Noise of other loudness, rate, channels, length and tags for each system, so that any trace would show."""
    rng = np.random.default_rng(5)
    for system, rate in RATES.items():
        (folder / system).mkdir(parents=True)
        for number, prompt in enumerate(prompts):
            for take in range(1 if system == "real" else 2):
                count = int(rate * (seconds + 0.02 * rng.random()))
                noise = GAINS[system] * rng.standard_normal((1 if system == "quartz" else 2, count)).clip(-3, 3)
                _write(folder / system / f"{number}-{take}.wav", Waveform(noise, rate), system, prompt)
    return folder


def built(sounds: Path, out: Path, **settings: Any) -> Built:
    """A test of all systems with references."""
    systems = {name: sounds / name for name in SYSTEMS}
    return build(systems, out, BuildSettings(**{"seed": 700123, **settings}), reference=sounds / "real")


def _write(path: Path, waveform: Waveform, system: str, prompt: str) -> None:
    if system == "ember":  # its captions stand in the tags that arctone writes
        write_audio(path, waveform, metadata={"prompt": prompt, "model": system, "version": "0.1.0"})
        return
    soundfile.write(path, waveform.samples.T, waveform.sample_rate)
    path.with_suffix(".txt").write_text(f"{prompt}\n")


def simulated(
    key: Key,
    seed: int,
    opinions: Opinions = OPINIONS,
    *,
    spread: float = 0.5,
    taste: float = 0.4,
    difficulty: float = 0.3,
) -> dict[Question, int]:
    """Answers of a listener: the opinion, a taste of his own, the prompt's difficulty (the same for all listeners), and
    what changes from one hearing to the next; standard deviations on the scale. Rounded to whole answers."""
    rng = np.random.default_rng([17, seed])
    own = {dimension: taste * rng.standard_normal() for dimension in key.limits}
    hard = difficulty * np.random.default_rng(3).standard_normal(len(key.prompts))
    hard -= hard.mean()
    answers: dict[Question, int] = {}
    for question in key.questions:
        opinion = opinions[question.dimension, question.system] + own[question.dimension]
        heard = opinion + hard[question.prompt] + spread * rng.standard_normal()
        answers[question] = int(np.clip(np.rint(heard), 1, 5))
    return answers


def clicker(key: Key, seed: int) -> dict[Question, int]:
    """Answers that have nothing to do with the sounds."""
    rng = np.random.default_rng([23, seed])
    return {question: int(rng.integers(1, 6)) for question in key.questions}


def straight_liner(key: Key, answer: int = 4) -> dict[Question, int]:
    """The same answer to everything."""
    return dict.fromkeys(key.questions, answer)


def page_csv(key: Key, listener: str, answers: Mapping[Question, int], session: str = "") -> str:
    """What our page gives as a download."""
    head = ["test", "listener", "session", "order", "position", "trial", "dimension", "practice", "rating", "plays"]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow([*head, "seconds"])
    for position, (question, answer) in enumerate(answers.items()):
        practice = str(question.is_practice).lower()
        cells = [question.trial, question.dimension, practice, answer, 1, 2.5]
        writer.writerow([key.test, listener, session or f"s{listener}", 0, position, *cells])
    return buffer.getvalue()


def mushra_csvs(key: Key, listeners: Mapping[str, Mapping[Question, int]]) -> dict[str, str]:
    """What webMUSHRA's write.php leaves: mushra.csv and lms.csv. On a slider, answers of 1 to 5 are 0 to 100."""
    mushra, likert = io.StringIO(), io.StringIO()
    mushra.write(
        "session_test_id,listener,session_uuid,trial_id,rating_stimulus,rating_score,rating_time,rating_comment\n"
    )
    likert.write("session_test_id,listener,trial_id,stimuli_rating,stimuli,rating_time\n")
    for listener, answers in listeners.items():
        for question, answer in answers.items():
            if key.limits[question.dimension][1] == 100:
                score = 25 * (answer - 1)
                mushra.write(
                    f"{key.test},{listener},uuid-{listener},{question.trial},{question.stimulus},{score},900,\n"
                )
            else:
                likert.write(f'{key.test},{listener},{question.trial}," {answer} ",{question.stimulus},900\n')
    return {"mushra.csv": mushra.getvalue(), "lms.csv": likert.getvalue()}


def files_below(folder: Path) -> Iterator[Path]:
    """Every file in a folder and the folders in it."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
