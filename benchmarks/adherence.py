"""Does the sound match its prompt? One probe on real, decoded and generated sounds of the held-out captions.

    python -m benchmarks.adherence --pack FOLDER

A clip is asked only what its prompt says: the family of its instrument, its tempo if it is a drum loop, its key. Real
sounds give the ceiling of the measure, decoded latents that of the autoencoder, and the chance level is what the same
answers score when they are dealt to the prompts at random. Generated sounds and all answers are kept in a cache and
made only once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from arctone.audio.files import read_audio, write_audio
from arctone.audio.waveform import Waveform
from arctone.data.sound import ClipInfo, ClipSource
from arctone.evaluation.embedders.preparing import EMBEDDINGS
from arctone.evaluation.metrics import chroma, probe, tempo
from benchmarks import clips, engines, results, train_probe
from benchmarks.clips import Chosen
from benchmarks.results import JSON
from benchmarks.stored_answers import StoredAnswers, fingerprint

CONDITIONS = {"real": "real, held out", "decoded": "decoded latents", "generated": "generated"}
MEASURES = {
    "family": "family",
    "tempo": "tempo within 3 %, drum loops",
    "tempo_octave": "tempo, any octave",
    "key": "key",
    "key_relative": "key or its relative",
}


@dataclass(frozen=True)
class Question:
    """A prompt and what the sound made from it must show; None is not asked."""

    clip: Chosen
    prompt: str
    family: str | None
    bpm: float | None
    key: str | None


@dataclass(frozen=True)
class Answer:
    """What the measures found in a sound; None was not asked."""

    family: str | None
    bpm: float | None
    key: str | None


def is_drum_loop(info: ClipInfo) -> bool:
    """Whether the clip is drums alone with a tempo."""
    return info.bpm is not None and info.category == "drums"


def question(clip: Chosen) -> Question | None:
    """The wording of the clip that says most of what can be measured, and that; None if it says nothing of it."""
    asked = [_asked(clip, caption) for caption in clip.info.captions or (clip.info.caption,)]
    best = max(asked, key=_weight)
    return best if _weight(best) else None


def choose(source: ClipSource, count: int, families: Sequence[str]) -> list[Question]:
    """About `count` questions: half with an instrument family, a third drum loops with a tempo, the rest with a key.

    Only the first half, in which the families take turns, is asked for the family: else drum loops would decide it.
    """
    test = clips.in_split(source, ["test"])
    asked = [found for found in map(question, test) if found is not None]
    pools = (
        (_family_among(families), count // 2),
        (lambda q: "drum loop" if q.bpm is not None else None, count // 3),
        (lambda q: "key" if q.key is not None else None, count - count // 2 - count // 3),
    )
    chosen: dict[str, Question] = {}
    for label, number in pools:
        left = [q for q in asked if q.clip.info.id not in chosen and label(q) is not None]
        picked = _in_turns(left, label, number)
        known = [replace(q, family=None) for q in picked] if chosen else picked
        chosen.update((q.clip.info.id, q) for q in known)
    return list(chosen.values())


def listen(waveform: Waveform, asked: Question, listener: probe.Probe) -> Answer:
    """What family, tempo and key a sound has, as far as it was asked."""
    return Answer(
        listener.predict(EMBEDDINGS[listener.embedding](waveform)[None])[0] if asked.family else None,
        tempo.estimate_tempo(waveform).bpm if asked.bpm else None,
        chroma.estimate_key(waveform).name if asked.key else None,
    )


def score(asked: Sequence[Question], answers: Sequence[Answer]) -> JSON:
    """Share of right answers with its interval, and the chance level, by measure."""
    pairs = list(zip(asked, answers, strict=True))
    return {name: _cell(pairs, *rule) for name, rule in _RULES.items()}


def by_family(asked: Sequence[Question], answers: Sequence[Answer]) -> JSON:
    """For each family: how many were asked, the share that was recognized, and the most frequent other answer."""
    names = sorted({q.family for q in asked if q.family})
    return {
        name: _family_row([a.family for q, a in zip(asked, answers, strict=True) if q.family == name], name)
        for name in names
    }


def block(result: JSON) -> str:
    """The table as Markdown."""
    head = ["sounds", *MEASURES.values()]
    rows = [
        [title, *(results.percent(result["conditions"][name][measure]) for measure in MEASURES)]
        for name, title in CONDITIONS.items()
        if name in result["conditions"]
    ]
    reference = result["conditions"]["real"]
    rows.append(["chance", *(_chance_cell(reference[measure]) for measure in MEASURES)])
    counts = ", ".join(f"{title}: {_count(reference[name])}" for name, title in MEASURES.items())
    explanation = (
        f"Share of right answers, in brackets the 95 % bootstrap interval. Prompts asked ({counts}). The probe "
        f"(embedding {result['settings']['probe']}) was fitted to real sounds of the training split only."
    )
    return "\n\n".join([results.table(head, rows), explanation, results.footer(result)])


def family_block(result: JSON) -> str:
    """Recognised share of each family as Markdown."""
    conditions = [name for name in CONDITIONS if name in result["families"]]
    head = [
        "family",
        "prompts",
        *(CONDITIONS[name] for name in conditions),
        "generated sounds were mostly classified as",
    ]
    rows = []
    for name, real in result["families"]["real"].items():
        shares = [f"{100 * result['families'][c][name]['share']:.0f} %" for c in conditions]
        other = result["families"].get("generated", {}).get(name, {}).get("most_often", "-")
        rows.append([name, str(real["count"]), *shares, other])
    return results.table(head, rows)


def summary_block(result: JSON) -> str:
    """The three figures of generated sounds in one sentence."""
    made = result["conditions"].get("generated")
    if made is None:
        return "Generated sounds are not measured yet."
    return (
        f"Of generated sounds, an independent probe recognises the family in {results.percent(made['family'])}, "
        f"the tempo of drum loops within 3 % in {results.percent(made['tempo'])}, the key in "
        f"{results.percent(made['key'])} (held-out prompts; 95 % intervals in brackets)."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and store."""
    options = _parser().parse_args(arguments)
    source = clips.open_corpus(options)
    listener = probe.load(options.probe)
    asked = choose(source, options.prompts, listener.classes)
    engine = engines.load(options.model, options.threads) if options.conditions != ["real"] else None
    listening = _Listening(source, engine, listener, options)
    answers = {name: [listening.answer(name, q) for q in track(asked, CONDITIONS[name])] for name in options.conditions}
    values = {
        "conditions": {name: score(asked, found) for name, found in answers.items()},
        "families": {name: by_family(asked, found) for name, found in answers.items()},
    }
    print(results.write("adherence", _settings(engine, listener, options, len(asked)), values, options.results))


def generated(engine: Any, asked: Question, options: argparse.Namespace) -> Waveform:
    """The sound of a prompt as it lies in the file, made only if the cache has none of the same model and settings."""
    path = _cache_folder(engine, options) / f"{asked.clip.index:06d}-{fingerprint(asked.prompt)[:8]}.wav"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_audio(path, _make(engine, asked, options))
    return read_audio(path)


def _make(engine: Any, asked: Question, options: argparse.Namespace) -> Waveform:
    info = asked.clip.info
    given = {name: getattr(options, name) for name in ("steps", "cfg_scale") if getattr(options, name) is not None}
    if options.numeric_tempo and info.bpm:
        given["bpm"] = info.bpm
    seed, seconds = options.seed + asked.clip.index, round(info.duration_seconds, 3)
    made: Waveform = engine.generate(asked.prompt, duration_seconds=seconds, seed=seed, **given).waveforms[0]
    return made


def _asked(clip: Chosen, caption: str) -> Question:
    info = clip.info
    return Question(
        clip,
        caption,
        train_probe.family(info),
        info.bpm if is_drum_loop(info) and info.bpm and _says(caption, f"{info.bpm:g}") else None,
        info.key if info.key and _is_key(info.key) and _says(caption, info.key) else None,
    )


def _says(caption: str, words: str) -> bool:
    return re.search(rf"(?<![\w#]){re.escape(words)}(?!\w)", caption) is not None


def _is_key(name: str) -> bool:
    try:
        chroma.parse_key(name)
    except ValueError:
        return False
    return True


def _weight(asked: Question) -> int:
    return sum(value is not None for value in (asked.family, asked.bpm, asked.key))


def _family_among(families: Sequence[str]) -> Callable[[Question], str | None]:
    return lambda asked: asked.family if asked.family in families else None


def _in_turns(asked: Sequence[Question], label: Callable[[Question], str | None], count: int) -> list[Question]:
    by_id = {q.clip.info.id: q for q in asked}
    picked = clips.balanced([q.clip for q in asked], lambda info: label(by_id[info.id]), count)
    return [by_id[clip.info.id] for clip in picked]


def _is_relative(reference: str, estimated: str) -> bool:
    return chroma.relation(reference, estimated) in ("same", "relative")


# Name of the measure: the field that is asked, and when an answer is right.
_RULES: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "family": ("family", lambda reference, found: reference == found),
    "tempo": ("bpm", tempo.is_match),
    "tempo_octave": ("bpm", lambda reference, found: tempo.is_match(reference, found, any_octave=True)),
    "key": ("key", lambda reference, found: chroma.relation(reference, found) == "same"),
    "key_relative": ("key", _is_relative),
}


def _cell(pairs: Sequence[tuple[Question, Answer]], field: str, is_right: Callable[[Any, Any], bool]) -> JSON | None:
    asked = [(getattr(q, field), getattr(a, field)) for q, a in pairs if getattr(q, field) is not None]
    if not asked:
        return None
    chance = np.mean([is_right(reference, found) for reference, _ in asked for _, found in asked])
    right = [float(is_right(reference, found)) for reference, found in asked]
    return {**results.interval(right), "chance": round(float(chance), 4)}


def _family_row(answers: list[str | None], name: str) -> JSON:
    others = [other for other in answers if other not in (name, None)]
    return {
        "count": len(answers),
        "share": round(answers.count(name) / len(answers), 4),
        "most_often": max(sorted(set(map(str, answers))), key=[*map(str, answers)].count),
        "num_confusions": len(others),
    }


def _chance_cell(cell: JSON | None) -> str:
    return "-" if cell is None else f"{100 * cell['chance']:.0f} %"


def _count(cell: JSON | None) -> int:
    return 0 if cell is None else int(cell["count"])


class _Listening:
    """Makes each sound and measures it, or reads the stored answers for the same sound."""

    def __init__(self, source: ClipSource, engine: Any, listener: probe.Probe, options: argparse.Namespace) -> None:
        self._source, self._engine, self._listener, self._options = source, engine, listener, options
        self._stored = StoredAnswers(Path(options.cache) / "answers.jsonl")
        self._probe = fingerprint(options.probe)

    def answer(self, condition: str, asked: Question) -> Answer:
        made = condition == "generated"
        origin = generated(self._engine, asked, self._options) if made else self._source.waveform(asked.clip.index)
        model = self._engine.model_hash if condition == "decoded" else ""
        fields = ",".join(name for name in ("family", "bpm", "key") if getattr(asked, name) is not None)
        key = fingerprint("decoded" if condition == "decoded" else "", model, self._probe, fields, origin)
        return Answer(**self._stored.recall(key, lambda: asdict(self._listen(condition, origin, asked))))

    def _listen(self, condition: str, origin: Waveform, asked: Question) -> Answer:
        if condition == "decoded":
            origin = engines.round_trip(self._engine.backend, origin).waveform
        return listen(origin, asked, self._listener)


def _cache_folder(engine: Any, options: argparse.Namespace) -> Path:
    tempo_mark = "-numeric-tempo" if options.numeric_tempo else ""
    settings = "-".join(f"{name}-{value}" for name, value in _sampling(engine, options).items())
    corpus = f"corpus-{options.corpus_seed}-{options.corpus_size}"
    return Path(options.cache) / f"{engine.model_hash[:12]}-{settings}-seed-{options.seed}{tempo_mark}-{corpus}"


def _sampling(engine: Any, options: argparse.Namespace) -> JSON:
    """Steps and guidance as they are used, whether given or the model's own."""
    own = engine.defaults
    return {
        "sampler": own.sampler,
        "steps": own.steps if options.steps is None else options.steps,
        "cfg_scale": own.cfg_scale if options.cfg_scale is None else options.cfg_scale,
    }


def _settings(engine: Any, listener: probe.Probe, options: argparse.Namespace, num_prompts: int) -> JSON:
    return {
        "model": options.model,
        "model_hash": engine.model_hash if engine is not None else None,
        "prompts": num_prompts,
        **(_sampling(engine, options) if engine is not None else {}),
        "seed": options.seed,
        "numeric_tempo": options.numeric_tempo,
        "probe": listener.embedding,
        **train_probe.vars_of_corpus(options),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adherence", description=__doc__)
    parser.add_argument("--model", default="spark")
    parser.add_argument("--prompts", type=int, default=300)
    parser.add_argument("--conditions", nargs="+", choices=list(CONDITIONS), default=list(CONDITIONS))
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--cfg-scale", type=float, default=None)
    parser.add_argument("--seed", type=int, default=1000, help="the sound of clip i gets seed + i")
    parser.add_argument(
        "--numeric-tempo", action="store_true", help="give the tempo as a number too, not only in words"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--probe", type=Path, default=train_probe.PATH)
    parser.add_argument("--cache", type=Path, default=results.ROOT / "outputs" / "adherence")
    parser.add_argument("--results", type=Path, default=results.FOLDER)
    clips.add_corpus_options(parser)
    return parser


if __name__ == "__main__":
    main()
