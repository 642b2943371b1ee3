"""Whole sounds in a page against the native engine, requests against the native rules, and the files of a model."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import arctone
from arctone.audio.keys import parse_bpm, parse_note, parse_stated_key
from arctone.audio.loudness import loudness_lufs
from arctone.audio.spectral.stft import stft
from arctone.audio.tags import read_metadata
from arctone.audio.waveform import Waveform
from arctone.inference.edit_plan import plan_request, plan_seam, seam_position
from arctone.inference.request import from_dict, from_metadata, named_fields
from arctone.inference.resolution import seems_english
from tests.web.static_page import DECODED, EnginePage, packed
from tests.web.test_numbers import snr_db

# By how much a sound may differ from the native engine's, as signal over error: latents and magnitudes of a model with
# weights of 8 bits, whose kernels round in ways of their own, and
# magnitudes in float32, where nothing but the order of sums differs.
LATENTS_DB, MAGNITUDES_DB, FLOAT32_DB = 30, 25, 45

GENERATE = """
const sound = await (await opened(given[0])).generate(given[1], given[2]);
const { record, warnings } = sound;
return { samples: sound.samples.map(packed), record, warnings, seed: String(sound.seed) };
"""


@pytest.fixture(scope="module")
def native(tiny_model_folder: Path) -> arctone.Model:
    return arctone.load(tiny_model_folder, engine="native", threads=1)


@pytest.fixture(scope="module")
def native_float32(tiny_float_folder: Path) -> arctone.Model:
    return arctone.load(tiny_float_folder, engine="native", threads=1)


def magnitudes(samples: np.ndarray) -> np.ndarray:
    missing = -samples.shape[1] % 512
    return np.abs(stft(np.pad(samples, ((0, 0), (0, missing)))))


def test_a_sound_of_8_bit_graphs_is_near_the_native_one(engine_page: EnginePage, native: arctone.Model):
    found = engine_page.run(GENERATE, "model/", "rain, then thunder", {"seconds": 1.3, "seed": 7})
    wanted = native.generate("rain, then thunder", seconds=1.3, seed=7).waveforms[0].samples
    assert snr_db(magnitudes(np.stack(found["samples"])), magnitudes(wanted)) >= MAGNITUDES_DB


CASES: dict[str, dict[str, Any]] = {
    "one window": {"duration_seconds": 1.3, "seed": 7},
    "guided away from a prompt": {"duration_seconds": 1.0, "seed": 8, "negative_prompt": "voices", "cfg_scale": 3},
    "tempo and steps": {"duration_seconds": 1.0, "seed": 9, "bpm": 90, "steps": 3},
    "ping-pong": {"duration_seconds": 1.0, "seed": 2**62 + 1, "sampler": "ping_pong"},
    "three windows": {"duration_seconds": 6.0, "seed": 7, "steps": 2},
    "a loop": {"bars": 1, "bpm": 120, "loop": True, "seed": 7, "normalize": "off"},
    "loudness": {"duration_seconds": 1.0, "seed": 7, "normalize": "loudness"},
}


@pytest.mark.parametrize("name", CASES)
def test_a_sound_is_that_of_the_native_engine(engine_page: EnginePage, native_float32: arctone.Model, name: str):
    fields = CASES[name]
    prompt = "rain, then thunder"
    found = engine_page.run(GENERATE, "float32/", prompt, {**fields, "seed": str(fields["seed"])})
    wanted = native_float32.generate(prompt, **fields)
    samples = np.stack(found["samples"])
    assert samples.shape == wanted.waveforms[0].samples.shape
    assert snr_db(magnitudes(samples), magnitudes(wanted.waveforms[0].samples)) >= FLOAT32_DB
    assert int(found["seed"]) == fields["seed"]
    record = {**found["record"], "request": {**found["record"]["request"], "seed": fields["seed"]}}
    assert record == {**wanted.to_metadata(0), "engine": "web"}
    assert found["warnings"] == list(wanted.warnings)


@pytest.mark.parametrize("has_relaxed_simd", [True, False])
def test_latents_are_those_of_the_native_engine(
    engine_page: EnginePage, native: arctone.Model, monkeypatch: pytest.MonkeyPatch, has_relaxed_simd: bool
):
    """With either build of the runtime: browsers without relaxed SIMD load the other one."""
    wanted: list[np.ndarray] = []
    decode = native.engine.backend.decode

    def kept(latents: np.ndarray, seed: int = 0) -> np.ndarray:
        wanted.append(latents.copy())
        return decode(latents, seed)

    monkeypatch.setattr(native.engine.backend, "decode", kept)
    fields = {"prompt": "rain", "duration_seconds": 7.0, "seed": 7, "steps": 2}
    native.generate(**fields)
    engine_page.open()
    engine_page.files.paths.clear()
    engine_page.run(f"WebAssembly.validate = () => {json.dumps(has_relaxed_simd)};")
    found = [latents.reshape(8, -1) for latents, _ in engine_page.run(DECODED, fields)]
    assert has_relaxed_simd or "/runtime/litert_wasm_compat_internal.wasm.gz" in engine_page.files.paths
    assert len(found) == len(wanted) == 4
    for latents, native_latents in zip(found, wanted, strict=True):
        assert snr_db(latents[:, : native_latents.shape[1]], native_latents) >= LATENTS_DB


def test_windows_are_those_of_the_native_engine(engine_page: EnginePage, native: arctone.Model):
    seconds, tempos = (0.01, 1.0, 2.97, 2.98, 5.0, 20.0), (None, 97.0)
    script = """
    const { planRequest, planSeam, rounded, seamPosition } = await engine("plan");
    const { config } = await (await fetch("model/web.json")).json();
    const shown = (plan) => [plan.windows.map((w) => [w.start, w.stop, w.keptStop]), plan.spans, plan.numFrames];
    return given[0].map(([duration_seconds, bpm, loop]) => {
      const plan = planRequest({ duration_seconds, bpm, loop }, config);
      const whole = Math.max(1, rounded(duration_seconds * 44100));
      const seam = seamPosition(whole, config, bpm);
      return [shown(plan), seam, shown(planSeam(whole, seam, config, bpm))];
    });
    """
    cases = list(itertools.product(seconds, tempos, (False, True)))
    for (duration, bpm, loop), found in zip(cases, engine_page.run(script, cases), strict=True):
        fields = {"prompt": "x", "duration_seconds": duration, "bpm": bpm, "loop": loop}
        request = arctone.GenerationRequest(**fields)
        whole = max(1, round(duration * 44100))
        seam = seam_position(whole, native.config, bpm)
        plans = (plan_request(request, native.config, None), plan_seam(whole, seam, native.config, bpm))
        first, last = (json.loads(json.dumps([plan.windows, plan.spans, plan.num_frames])) for plan in plans)
        assert found == [first, seam, last], (duration, bpm, loop)


def test_a_long_sound_comes_in_parts_that_only_change_their_level(engine_page: EnginePage):
    script = """
    const parts = [], onPart = (part) => parts.push([part.start, part.isLast, ...part.samples.map(packed)]);
    const sound = await (await opened("float32/")).generate("rain", { seconds: 6, seed: 7, steps: 1, onPart });
    return [parts, sound.samples.map(packed)];
    """
    parts, samples = engine_page.run(script)
    assert len(parts) > 2
    assert [is_last for _, is_last, *_ in parts] == [False] * (len(parts) - 1) + [True]
    ends = np.cumsum([len(left) for _, _, left, _ in parts])
    assert [start for start, *_ in parts] == [0, *ends[:-1]]
    whole, joined = np.stack(samples), np.stack([np.concatenate([part[side] for part in parts]) for side in (2, 3)])
    gain = float(np.sum(whole * joined) / np.sum(joined**2))
    assert np.abs(joined[:, : ends[0]]).max() == pytest.approx(10 ** (-1 / 20), rel=1e-3)
    assert snr_db(gain * joined, whole) > 100


WRONG: list[dict[str, Any]] = [
    {"prompt": "  "},
    {"prompt": "rain", "seed": -1},
    {"prompt": "rain", "steps": 0},
    {"prompt": "rain", "steps": 2.5},
    {"prompt": "rain", "steps": "8"},
    {"prompt": "rain", "duration_seconds": 0},
    {"prompt": "rain", "duration_seconds": 301},
    {"prompt": "rain", "cfg_scale": 21},
    {"prompt": "rain", "sampler": "magic"},
    {"prompt": "rain", "loop": 1},
    {"prompt": "rain", "bpm": 500},
    {"prompt": "rain", "key": "H minor"},
    {"prompt": "rain", "bars": 2},
    {"prompt": "rain", "bars": 2, "bpm": 120, "duration_seconds": 1},
    {"prompt": "rain", "seconds": 1, "duration": 2},
    {"prompt": "r" * 2001},
    {},
]


@pytest.mark.parametrize("fields", WRONG, ids=lambda fields: ", ".join(list(fields)[-2:]) or "nothing")
def test_what_cannot_be_met_is_refused_with_the_native_sentence(
    engine_page: EnginePage, native: arctone.Model, fields: dict[str, Any]
):
    script = """
    const model = await opened("model/");
    try { await model.generate(given[0]); } catch (error) { return [error.name, error.message, error.field]; }
    """
    name, message, field = engine_page.run(script, fields)
    with pytest.raises(arctone.UsageError) as refused:
        native.engine.generate(from_dict(fields))
    assert (name, field) == ("UsageError", refused.value.field)
    # Python and JavaScript write True and 1.0 in ways of their own; the hint at a near name is Python's alone.
    assert message == str(refused.value).split(" (did you mean")[0].rstrip(".") + "."


def test_names_are_those_of_the_api_their_aliases_and_camel_case(engine_page: EnginePage):
    given = [{"durationSeconds": 2}, {"seconds": 2}, {"duration": 2}, {"cfgScale": 2}, {"num_steps": 3}, {"tempo": 90}]
    script = """
    const { description } = await (await fetch("model/web.json")).json(), { namedFields } = await engine("request");
    return given[0].map((fields) => namedFields(fields, description.fields));
    """
    snake = [{"duration_seconds": 2}, *given[1:3], {"cfg_scale": 2}, *given[4:]]
    assert engine_page.run(script, given) == [named_fields(fields) for fields in snake]


PROMPTS = [
    "funky drum loop, 120 BPM",
    "60 to 90 BPM",
    "from 90 bpm to 120 bpm",
    "19 bpm",
    "techno at 128.5bpm in F# minor",
    "sad violin in c# minor",
    "a minor chord",
    "A minor",
    "A major explosion",
    "from C major to A minor",
    "piano, single note, C#4",
    "a note on a sheet of A4 paper",
    "Regen auf dem Dach und eine Katze",
    "дождь",
    "",
    "Bb3 and D4",
]


def test_a_prompt_states_the_same_tempo_key_note_and_language(engine_page: EnginePage):
    script = """
    const { statedBpm, seemsEnglish } = await engine("request"), { statedKey, statedNote } = await engine("keys");
    return given[0].map((text) => [statedBpm(text) ?? null, statedKey(text), statedNote(text), seemsEnglish(text)]);
    """
    wanted = [
        [parse_bpm(text, 20, 400), parse_stated_key(text), parse_note(text), seems_english(text)] for text in PROMPTS
    ]
    assert engine_page.run(script, PROMPTS) == wanted


def test_loudness_is_measured_alike(engine_page: EnginePage):
    samples = np.random.default_rng(2).normal(0, 0.1, (2, 60_000)).astype(np.float32)
    samples[:, 30_000:] *= 0.01
    script = 'return (await engine("level")).loudnessLufs(given.map((text) => unpacked(text)), 44100);'
    found = engine_page.run(script, *map(packed, samples))
    assert found == pytest.approx(loudness_lufs(Waveform(samples, 44_100)), abs=0.01)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_a_wav_file_holds_sound_and_record(engine_page: EnginePage, tmp_path: Path, bits: int):
    script = """
    const model = await opened("model/");
    const fields = { bars: 1, loop: true, seed: 2n ** 62n + 1n, steps: 1 };
    const sound = await model.generate("rain at 120 bpm \u2602", fields);
    const buffer = sound.toAudioBuffer();
    const bytes = new Uint8Array(await sound.toWav({ bitDepth: given[0] }).arrayBuffer());
    return [packed(bytes), sound.samples.map(packed), buffer.length, buffer.numberOfChannels];
    """
    data, samples, frames, channels = engine_page.run(script, bits)
    path = tmp_path / "sound.wav"
    path.write_bytes(data.tobytes())
    sound = arctone.read_audio(path)
    assert sound.samples.shape == (channels, frames) == (2, 88_200)
    np.testing.assert_allclose(sound.samples, np.stack(samples), atol=2.0 ** (1 - bits) if bits < 32 else 0)
    record = read_metadata(path)
    assert record is not None
    request = from_metadata(record)
    assert (request.seed, request.prompt, request.bpm, request.loop) == (2**62 + 1, "rain at 120 bpm \u2602", 120, True)
    assert (record["engine"], record["version"]) == ("web", arctone.__version__)
    assert b"smpl" in path.read_bytes()
    assert b"acid" in path.read_bytes()
