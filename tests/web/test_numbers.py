"""The numbers of the engine in a page are those of numpy and the native engine: noise, tokens, times, synthesis."""

import base64
import hashlib
import math
import random
import re

import numpy as np
import pytest

from arctone.audio.spectral.features import features
from arctone.audio.spectral.synthesis import synthesise
from arctone.export.web import SOURCES
from arctone.flow.inpainting import bridged, holding, resampled
from arctone.flow.noise import item_noise
from arctone.flow.samplers import SAMPLERS
from arctone.flow.schedules import sampler_times
from arctone.model_folder.folder import find_model
from arctone.model_folder.tokenizer import Tokenizer
from tests.web.static_page import EnginePage, packed


def snr_db(found: np.ndarray, wanted: np.ndarray) -> float:
    error = np.sum(np.square(found - wanted, dtype=np.float64))
    return float(10 * np.log10(np.sum(np.square(wanted, dtype=np.float64)) / max(error, 1e-300)))


@pytest.mark.parametrize(("seed", "step"), [(0, 0), (7, 0), (2**62 + 12345, 3), (2**63 - 1, 10**12 + 1_920_004)])
def test_noise_is_equal_to_the_bit(engine_page: EnginePage, seed: int, step: int):
    script = 'return packed((await engine("random")).itemNoise(BigInt(given[0]), BigInt(given[1]), 64, 40));'
    found = engine_page.run(script, str(seed), str(step)).reshape(64, 40)
    np.testing.assert_array_equal(found, item_noise(seed, step, (64, 40)))


def test_the_draws_of_the_synthesis_are_equal_to_the_bit(engine_page: EnginePage):
    script = """
    const { Pcg64, windowSeed } = await engine("random"), source = new Pcg64(BigInt(given[0]));
    const floats = Float32Array.from({ length: 1001 }, () => source.float32());
    const doubles = Float64Array.from({ length: 100 }, () => source.float64());
    const bits = Int32Array.from({ length: 64 }, () => source.bit());
    return [packed(floats), packed(doubles), packed(bits), String(windowSeed(BigInt(given[0]), 192, 1))];
    """
    for seed in (0, 7, 2**62 + 5):
        floats, doubles, bits, window = engine_page.run(script, str(seed))
        generator = np.random.default_rng(seed)
        np.testing.assert_array_equal(floats, generator.random(1001, dtype=np.float32))
        np.testing.assert_array_equal(doubles, generator.random(100))
        np.testing.assert_array_equal(bits, generator.integers(0, 2, 64))
        mixed = np.random.SeedSequence([seed, 192, 1]).generate_state(1, np.uint64)
        assert int(window) == int(mixed[0] >> np.uint64(1))


def test_the_tables_of_normal_draws_are_those_of_the_recursion():
    text = (SOURCES / "engine" / "random.js").read_text()
    blocks = re.findall(r"const ([KWF]) = table\(\s*(\w+),\s*((?:\"[^\"]+\"\s*\+?\s*)+),", text)
    kinds = {"Uint32Array": np.uint32, "Float32Array": np.float32}
    found = {
        name: np.frombuffer(base64.b64decode("".join(re.findall(r'"([^"]+)"', value))), kinds[kind])
        for name, kind, value in blocks
    }
    r, v, scale = 3.6541528853610088, 0.00492867323399, 2.0**23
    x = r
    edges = [r]
    for _ in range(254):
        x = math.sqrt(-2 * math.log(v / x + math.exp(-0.5 * x * x)))
        edges.append(x)
    heights = [1.0, *(math.exp(-0.5 * x * x) for x in reversed(edges))]
    base = v / math.exp(-0.5 * r * r)
    widths = [base, *reversed(edges)]
    np.testing.assert_array_equal(found["F"], np.array(heights, np.float32))
    np.testing.assert_array_equal(found["W"], (np.array(widths) / scale).astype(np.float32))
    inner = [int(r / base * scale), 0, *(int(a / b * scale) for b, a in zip(widths[2:], widths[1:], strict=False))]
    np.testing.assert_array_equal(found["K"], np.array(inner, np.uint32))


def _prompts() -> list[str]:
    letters = "abc ABC éÉñü İıßΣΟΔΟΣ "
    letters += "你好 日本語 ひら 한국어 привет ё й —–’“”… 123,.-\t\n\u00a0\u200b\u3000😀👩‍👩ﬁ½[SEP][PAD]_~"
    draw = random.Random(1)
    made = ["".join(draw.choice(letters) for _ in range(draw.randint(1, 150))) for _ in range(400)]
    fixed = [
        "rain",
        "[SEP] in [CLS] the [MASK][MASK]",
        "x" * 100,
        "x" * 101,
        "word " * 100,
        "é" * 101,
        "ΟΔΟΣ",
        "don't-stop",
    ]
    # Punctuation that Unicode added after version 8, from U+2E43 on, is unknown to the native tokenizer's tables.
    codes = [*range(1, 0x600), *range(0x2000, 0x2E43), *range(0x2E80, 0x3100)]
    return [*made, *fixed, *(f"a{chr(code)}b" for code in codes)]


def test_tokens_are_equal(engine_page: EnginePage):
    """Over words, accents, other scripts, special tokens, prompts that are too long, and single code points."""
    prompts = _prompts()
    description = (find_model("spark") / "tokenizer.json").read_text()
    script = """
    const { Tokenizer } = await engine("tokenizer"), tokenizer = new Tokenizer(JSON.parse(given[0]), 64);
    return given[1].map((prompt) => {
      const { ids, mask, wasCut } = tokenizer.encode(prompt);
      return [Array.from(ids), Array.from(mask).filter(Boolean).length, wasCut];
    });
    """
    found = engine_page.run(script, description, prompts)
    tokenizer = Tokenizer(find_model("spark"))
    wanted = [
        [tokens.ids.tolist(), int(tokens.mask.sum()), tokens.was_cut] for tokens in map(tokenizer.encode, prompts)
    ]
    different = [prompt for prompt, one, other in zip(prompts, found, wanted, strict=True) if one != other]
    assert different == []


def test_times_are_those_of_every_schedule(engine_page: EnginePage):
    cases = [
        (sampler, steps, {"shift": shift, "schedule": schedule}, level)
        for sampler in ("euler", "ping_pong")
        for steps in (1, 2, 8)
        for shift in (1.0, 1.5)
        for schedule in ("auto", "linear", "log_snr", "cosine", "exponential")
        for level in (1.0, 0.9, 0.4, 0.05)
    ]
    script = """
    const { samplerTimes } = await engine("flow");
    return given[0].map(([sampler, steps, sampling, level]) => samplerTimes(sampler, steps, sampling, 64, level));
    """
    found = engine_page.run(script, cases)
    for (sampler, steps, sampling, level), times in zip(cases, found, strict=True):
        wanted = sampler_times(sampler, steps, **sampling, start_level=level)
        np.testing.assert_allclose(times, wanted, rtol=1e-12, err_msg=f"{sampler} {steps} {sampling} {level}")


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_take_the_same_steps(engine_page: EnginePage, name: str):
    """The velocity is a made-up one that bends the path, so that every order of a sampler shows."""
    script = """
    const { SAMPLERS, bridged, holding, resampled } = await engine("flow"), { itemNoise } = await engine("random");
    const velocity = async (x, t) => x.map((value) => Math.sin(value) + t);
    const noise = (step) => itemNoise(5n, BigInt(step), 4, 6), sampler = SAMPLERS[given[0]];
    const last = async (steps) => { let x; for await (x of steps); return packed(x); };
    const known = [true, true, false, false, false, true], base = noise(9);
    return [
      await last(sampler(velocity, noise(0), given[1], noise)),
      await last(resampled(sampler, holding(velocity, base, known), noise(0), given[1], noise, 3)),
      packed(bridged(base, known)),
    ];
    """
    times = sampler_times(name, 5)
    plain, held, bridge = (one.reshape(4, 6) for one in engine_page.run(script, name, times))

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        return (np.sin(x) + np.float32(t)).astype(np.float32)

    def noise(step: int) -> np.ndarray:
        return item_noise(5, step, (4, 6))

    known, base = np.array([True, True, False, False, False, True]), noise(9)
    *_, wanted = SAMPLERS[name](velocity, noise(0), times, noise)
    *_, wanted_held = resampled(SAMPLERS[name], holding(velocity, base, known), noise(0), times, noise, 3)
    np.testing.assert_allclose(plain, wanted.x, atol=2e-5)
    np.testing.assert_allclose(held, wanted_held.x, atol=2e-5)
    np.testing.assert_allclose(bridge, bridged(base, known), atol=1e-6)


@pytest.mark.parametrize("iterations", [0, 1, 3])
def test_the_synthesis_is_that_of_numpy(engine_page: EnginePage, iterations: int):
    draw, frames = np.random.default_rng(3), 32
    level = np.cumsum(draw.normal(0, 0.3, (1025, frames)), axis=0) * 0.1
    others = [
        draw.normal(0, 0.3, (48, frames)),
        draw.uniform(-1.2, 1.2, (48, frames)),
        draw.normal(-2, 1, (48, frames)),
    ]
    parameters = np.concatenate([level, *others]).astype(np.float32)
    script = """
    const { Synthesis } = await engine("synthesis");
    return new Synthesis(given[0]).run(unpacked(given[1]), 40, 32, 7n).map(packed);
    """
    wide = np.pad(parameters, ((0, 0), (0, 8)))
    found = np.stack(engine_page.run(script, iterations, packed(wide)))
    wanted = synthesise(parameters, np.random.default_rng(7), iterations)
    assert found.shape == wanted.shape
    assert snr_db(found, wanted) > 60


def test_features_are_those_of_numpy(engine_page: EnginePage):
    samples = np.random.default_rng(1).normal(0, 0.1, (2, 16 * 512)).astype(np.float32)
    samples[1] += samples[0]
    script = """
    const { features } = await engine("features");
    return packed(features(given.map((text) => unpacked(text)), 16, 44100));
    """
    found = engine_page.run(script, *(packed(channel) for channel in samples)).reshape(-1, 16)
    np.testing.assert_allclose(found, features(samples), atol=1e-4)


def test_hashes_without_a_secure_context_are_right(engine_page: EnginePage):
    lengths = [0, 1, 55, 56, 63, 64, 119, 120, 1000]
    script = """
    const { plainSha256 } = await engine("files");
    return given[0].map((length) => plainSha256(Uint8Array.from({ length }, (_, n) => n * 7)));
    """
    wanted = [hashlib.sha256(bytes(n * 7 % 256 for n in range(length))).hexdigest() for length in lengths]
    assert engine_page.run(script, lengths) == wanted
