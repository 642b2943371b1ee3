"""Edits in a page against the native engine: sounds that are restyled, remade in parts and continued."""

import io
from typing import Any

import numpy as np
import pytest
import soundfile

import arctone
from arctone.audio.waveform import Waveform, conform
from arctone.inference.request import from_dict
from arctone.inference.source import source_record
from tests.web.static_page import DECODED, EnginePage, packed
from tests.web.test_numbers import snr_db
from tests.web.test_sounds import FLOAT32_DB, GENERATE, LATENTS_DB, magnitudes, native_float32

__all__ = ["native_float32"]  # a fixture

RATE = 44_100
EDIT = GENERATE.replace(
    "given[2])",
    "{ ...given[2], sourceName: 'a.wav', "
    "source: { samples: given[3].map((one) => unpacked(one)), sampleRate: given[4] } })",
)
READ = """
const bytes = unpacked(given[0], Uint8Array), model = await opened("float32/");
const fields = { init_noise_level: 0, seed: 1, source: new File([bytes], given[1]) };
const sound = await model.generate("tone", fields);
return { samples: sound.samples.map(packed), record: sound.record, warnings: sound.warnings };
"""


def tone(seconds: float = 1.2, channels: int = 2, rate: int = RATE) -> np.ndarray:
    """A chord over noise, other in each channel."""
    times = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(4).normal(0, 0.02, (channels, len(times)))
    chords = [0.2 * np.sin(2 * np.pi * 220 * (1 + n / 4) * times) for n in range(channels)]
    return np.asarray(np.stack(chords) + noise, np.float32)


CASES: dict[str, dict[str, Any]] = {
    "restyled": {"init_noise_level": 0.6, "steps": 3},
    "restyled and shorter, at random": {"sampler": "ping_pong", "duration_seconds": 0.9},
    "two parts": {"inpaint": ["0.3:0.55", "0.8:0.9"], "steps": 2},
    "a part that starts from what was there": {"inpaint": ["0.2:0.7"], "init_noise_level": 0.5, "steps": 2},
    "continued": {"extend": True, "duration_seconds": 2.1, "steps": 2},
    "continued over several windows": {"extend": True, "duration_seconds": 5.0, "steps": 1},
    "a loop of it": {"loop": True, "init_noise_level": 0.4, "steps": 2},
    "kept, but louder": {"init_noise_level": 0, "normalize": "peak"},
}


@pytest.mark.parametrize("name", CASES)
def test_an_edit_is_that_of_the_native_engine(
    engine_page: EnginePage, native_float32: arctone.Model, monkeypatch: pytest.MonkeyPatch, name: str
):
    fields, source = {"seed": 7, **CASES[name]}, tone()
    latents: list[np.ndarray] = []
    decode = native_float32.engine.backend.decode

    def kept(one: np.ndarray, seed: int = 0) -> np.ndarray:
        latents.append(one.copy())
        return decode(one, seed)

    monkeypatch.setattr(native_float32.engine.backend, "decode", kept)
    wanted = native_float32.generate("rain", source=Waveform(source, RATE), source_name="a.wav", **fields)
    found = engine_page.run(EDIT, "float32/", "rain", fields, [packed(one) for one in source], RATE)
    samples = np.stack(found["samples"])
    assert samples.shape == wanted.waveforms[0].samples.shape
    assert snr_db(magnitudes(samples), magnitudes(wanted.waveforms[0].samples)) >= FLOAT32_DB
    assert found["record"] == {**wanted.to_metadata(0), "engine": "web"}
    assert found["warnings"] == list(wanted.warnings)
    decoded = engine_page.run(DECODED, {"prompt": "rain", **fields}, [packed(one) for one in source], "float32/")
    assert len(decoded) == len(latents)
    for (one, _), native in zip(decoded, latents, strict=True):
        assert snr_db(one.reshape(len(native), -1)[:, : native.shape[1]], native) >= LATENTS_DB


def test_what_is_kept_stays_as_it_is_to_the_bit(engine_page: EnginePage):
    source = tone()
    fields = {"inpaint": "0.4:0.7", "seed": 1, "steps": 1}
    found = np.stack(engine_page.run(EDIT, "model/", "rain", fields, [packed(one) for one in source], RATE)["samples"])
    changed = np.flatnonzero((found != source).any(axis=0))
    assert round(0.4 * RATE) <= changed.min() < changed.max() < round(0.7 * RATE)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_a_wav_file_is_read_to_the_bit(engine_page: EnginePage, subtype: str):
    data = io.BytesIO()
    soundfile.write(data, tone(0.3).T, RATE, subtype, format="WAVEX" if subtype == "PCM_24" else "WAV")
    samples = soundfile.read(io.BytesIO(data.getvalue()), dtype="float32", always_2d=True)[0].T
    found = engine_page.run(READ, packed(np.frombuffer(data.getvalue(), np.uint8)), "a.wav")
    np.testing.assert_array_equal(np.stack(found["samples"]), samples)
    wanted = source_record(Waveform(samples, RATE), "a.wav")
    assert found["record"]["source"]["sha256"] == wanted.sha256


@pytest.mark.parametrize(("format", "rate", "channels"), [("WAV", 48_000, 1), ("WAV", 22_050, 2), ("FLAC", 44_100, 2)])
def test_files_of_other_rates_and_formats_are_read(engine_page: EnginePage, format: str, rate: int, channels: int):
    data, sound = io.BytesIO(), tone(0.4, channels, rate)
    soundfile.write(data, sound.T, rate, "PCM_16", format=format)
    found = engine_page.run(READ, packed(np.frombuffer(data.getvalue(), np.uint8)), "a.wav")
    samples, wanted = np.stack(found["samples"]), conform(Waveform(sound, rate), RATE, 2).samples
    assert samples.shape == wanted.shape
    assert np.corrcoef(samples.ravel(), wanted.ravel())[0, 1] > 0.995
    remembered = found["record"]["source"]
    assert (remembered["sample_rate"], remembered["num_channels"]) == (rate, channels)


def test_sounds_of_many_channels_and_loud_ones_are_edited_with_a_warning(
    engine_page: EnginePage, native_float32: arctone.Model
):
    source = np.concatenate([tone(0.4, 3), 6 * tone(0.4, 1)])
    fields = {"init_noise_level": 0, "seed": 1}
    found = engine_page.run(EDIT, "float32/", "rain", fields, [packed(one) for one in source], RATE)
    wanted = native_float32.generate("rain", source=Waveform(source, RATE), source_name="a.wav", **fields)
    np.testing.assert_allclose(np.stack(found["samples"]), wanted.waveforms[0].samples, atol=1e-6)
    assert found["warnings"] == list(wanted.warnings)
    loud = 4 * tone(0.3)
    found = engine_page.run(EDIT, "float32/", "rain", fields, [packed(one) for one in loud], RATE)
    wanted = native_float32.generate("rain", source=Waveform(loud, RATE), source_name="a.wav", **fields)
    assert found["warnings"] == list(wanted.warnings)
    assert len(found["warnings"]) == 2
    assert found["record"] == {**wanted.to_metadata(0), "engine": "web"}


WRONG: list[dict[str, Any]] = [
    {"inpaint": ["1:2"]},
    {"inpaint": ["0.5"]},
    {"inpaint": ["a:b"]},
    {"inpaint": ["0.6:0.4"]},
    {"inpaint": ["0.2:0.5", "0.4:0.6"]},
    {"inpaint": ["0.2:0.2000001"]},
    {"inpaint": 3},
    {"inpaint": ["0.1:0.2"], "extend": True},
    {"inpaint": ["0.1:0.2"], "loop": True},
    {"extend": True, "duration_seconds": 0.5},
    {"extend": True, "init_noise_level": 0.5},
    {"init_noise_level": 1.5},
    {"extend": "yes"},
]


@pytest.mark.parametrize("fields", WRONG, ids=str)
def test_an_edit_that_cannot_be_met_is_refused_with_the_native_sentence(
    engine_page: EnginePage, native_float32: arctone.Model, fields: dict[str, Any]
):
    source = tone(0.7)
    name, message, field = engine_page.run(REFUSED, fields, [packed(one) for one in source])
    with pytest.raises(arctone.UsageError) as refused:
        native_float32.engine.generate(from_dict({"prompt": "rain", **fields}), source=Waveform(source, RATE))
    assert (name, field) == ("UsageError", refused.value.field)
    assert message == str(refused.value)


REFUSED = """
const source = given[1] ? { samples: given[1].map((one) => unpacked(one)), sampleRate: 44100 } : undefined;
try { await (await opened("float32/")).generate({ prompt: "rain", ...given[0], source }); }
catch (error) { return [error.name, error.message, error.field]; }
"""


def test_sounds_that_cannot_be_edited_are_refused(engine_page: EnginePage, native_float32: arctone.Model):
    silent = np.full((2, 1000), 0.25, np.float32)
    for source in (silent, silent[:, :0]):
        found = engine_page.run(REFUSED, {}, [packed(one) for one in source])
        with pytest.raises(arctone.UsageError) as refused:
            native_float32.generate("rain", source=Waveform(source, RATE))
        assert found == ["UsageError", str(refused.value), "audio"]
    for fields in ({"inpaint": ["0:1"]}, {"extend": True}, {"init_noise_level": 0.5}):
        found = engine_page.run(REFUSED, fields, None)
        with pytest.raises(arctone.UsageError) as refused:
            native_float32.generate("rain", **fields)
        assert found == ["UsageError", str(refused.value), refused.value.field]
    script = """
    const given_ = [new Blob(["no sound"]), { samples: [[1, 2]], sampleRate: 44100 }], model = await opened("float32/");
    return Promise.all(given_.map((source) => model.generate("rain", { source }).catch((error) => error.message)));
    """
    first, second = engine_page.run(script)
    assert first == "source is not a sound that this browser can read."
    assert second.startswith("source must be a Blob, an AudioBuffer or { samples: Float32Array of each channel")
