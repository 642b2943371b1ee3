"""Text in, files out: what is written, under which name, and that the same seed gives the same bytes."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from arctone.audio.tags import MARK, read_metadata
from arctone.version import __version__


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_a_wav_of_the_exact_length_is_written(generate):
    done = generate("rain", "-o", "rain.wav", "-s", 7)
    assert (done.code, done.out) == (0, "rain.wav\n")
    samples, rate = soundfile.read("rain.wav")
    assert rate == 44100
    assert samples.shape == (22050, 2)
    assert np.abs(samples).max() > 0.5  # peak-normalised: audible
    assert names() == ["rain.wav"]


@pytest.mark.parametrize("flag", ["-d", "--duration", "--seconds", "--duration-seconds"])
def test_durations_are_exact_to_the_sample(generate, flag):
    done = generate("rain", flag, "1.2345", "-o", "x.wav")
    assert done.code == 0
    assert soundfile.info("x.wav").frames == round(1.2345 * 44100)


def test_the_number_of_threads_changes_no_byte_of_a_file(generate):
    for name, threads in (("a.wav", 1), ("b.wav", 2)):
        assert generate("rain", "-o", name, "-s", 7, "--threads", threads).code == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert read_metadata("a.wav")["request"]["threads"] is None


def test_same_seed_same_bytes_and_another_seed_another_sound(generate):
    for name, seed in (("a.wav", 7), ("b.wav", 7), ("c.wav", 8)):
        assert generate("rain", "-o", name, "-s", seed).code == 0
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()
    assert not np.array_equal(soundfile.read("a.wav")[0], soundfile.read("c.wav")[0])


def test_another_prompt_gives_another_sound(generate):
    generate("rain", "-o", "a.wav", "-s", 7)
    generate("a dog barking", "-o", "b.wav", "-s", 7)
    assert not np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])


def test_the_default_name_says_prompt_and_seed(generate):
    done = generate("Funky drum loop, 120 BPM", "-s", 7)
    assert done.out == "funky-drum-loop-120-bpm-7.wav\n"
    assert Path("funky-drum-loop-120-bpm-7.wav").is_file()


def test_a_drawn_seed_is_reported_and_makes_the_sound_again(generate):
    done = generate("rain", "-o", "a.wav", "--json")
    seed = json.loads(done.out)["files"][0]["seed"]
    generate("rain", "-o", "b.wav", "-s", seed)
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_variations_are_the_single_runs_of_their_seeds(generate):
    assert generate("rain", "-n", 3, "-s", 5, "-o", "take-{n}-{seed}.wav").code == 0
    assert names() == ["take-1-5.wav", "take-2-6.wav", "take-3-7.wav"]
    generate("rain", "-s", 6, "-o", "single.wav")
    assert Path("single.wav").read_bytes() == Path("take-2-6.wav").read_bytes()


def test_variations_without_a_pattern_are_numbered(generate):
    assert generate("rain", "-n", 2, "-o", "take.wav").out == "take-1.wav\ntake-2.wav\n"


def test_a_folder_as_output_gets_the_default_name(generate):
    Path("sounds").mkdir()
    generate("rain", "-s", 7, "-o", "sounds")
    assert Path("sounds/rain-7.wav").is_file()


@pytest.mark.parametrize(("ending", "container"), [("flac", "FLAC"), ("ogg", "OGG"), ("mp3", "MP3"), ("wav", "WAV")])
def test_the_ending_chooses_the_format(generate, ending, container):
    assert generate("rain", "-o", f"x.{ending}").code == 0
    assert soundfile.info(f"x.{ending}").format == container


def test_format_overrides_the_ending(generate):
    assert generate("rain", "-o", "x.bin", "--format", "flac").code == 0
    assert soundfile.info("x.bin").format == "FLAC"


def test_the_file_tells_how_it_was_made(generate):
    generate("rain on tin", "-s", 7, "--steps", 3, "-o", "x.wav")
    record = read_metadata("x.wav")
    assert record["mark"] == MARK
    assert record["version"] == __version__
    assert record["model"] == "tiny"
    assert len(record["model_hash"]) == 64
    assert {name: record["request"][name] for name in ("prompt", "seed", "steps")} == {
        "prompt": "rain on tin",
        "seed": 7,
        "steps": 3,
    }


def test_standard_output_carries_the_same_wav(generate):
    done = generate("rain", "-s", 7, "-o", "-")
    generate("rain", "-s", 7, "-o", "x.wav")
    assert done.stdout == Path("x.wav").read_bytes()


def test_the_prompt_comes_from_standard_input(generate):
    generate("-", "-s", 7, "-o", "a.wav", stdin=b"rain on tin\n")
    generate("rain on tin", "-s", 7, "-o", "b.wav")
    assert Path("a.wav").read_bytes() == Path("b.wav").read_bytes()


def test_json_reports_files_request_times_and_nothing_else_on_stdout(generate):
    report = json.loads(generate("rain", "-n", 2, "-s", 3, "-o", "x.wav", "--json").out)
    assert [(file["path"], file["seed"]) for file in report["files"]] == [("x-1.wav", 3), ("x-2.wav", 4)]
    assert report["request"]["variations"] == 2
    assert {"text", "sampling", "decoding"} <= set(report["timings_ms"])
    assert report["engine"] == "native"


def test_a_warning_reaches_the_user(generate):
    done = generate("rain", "--cfg-scale", 1, "--negative-prompt", "drums", "-o", "x.wav")
    assert "warning: negative_prompt has no effect" in done.stderr
    assert done.code == 0


def test_quiet_prints_the_path_only(generate):
    done = generate("rain", "-o", "x.wav", "-q")
    assert (done.out, done.stderr) == ("x.wav\n", "")


def test_an_existing_file_is_replaced_with_force_only(generate):
    Path("x.wav").write_bytes(b"precious")
    done = generate("rain", "-o", "x.wav")
    assert done.code == 2
    assert done.stderr == "error: x.wav already exists; it is replaced only with --force.\n"
    assert Path("x.wav").read_bytes() == b"precious"
    assert generate("rain", "-o", "x.wav", "--force").code == 0
    assert soundfile.info("x.wav").frames == 22050


def test_one_existing_file_of_many_stops_all_before_the_work(generate):
    Path("x-2.wav").write_bytes(b"precious")
    assert generate("rain", "-n", 3, "-o", "x-{n}.wav").code == 2
    assert names() == ["x-2.wav"]


def test_play_calls_the_player_with_the_file(generate, monkeypatch, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    player = tools / "mpv"
    player.write_text('#!/bin/sh\nfor last; do :; done\ncp "$last" "$last.played"\n')
    player.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:/bin:/usr/bin")
    monkeypatch.setattr("arctone.cli.generate.PLAYERS", {"mpv": ["mpv", "--no-video"]})
    assert generate("rain", "-o", "x.wav", "--play").code == 0
    assert Path("x.wav.played").read_bytes() == Path("x.wav").read_bytes()


def test_play_without_a_player_is_refused_before_the_work(generate, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = generate("rain", "-o", "x.wav", "--play")
    assert done.code == 2
    assert done.stderr.startswith("error: --play needs one of ")
    assert names() == []


def test_files_as_they_were_asked_for(generate, tmp_path):
    options = ("--sample-rate", "22050", "--channels", "mono", "--bit-depth", "24", "--trim", "--no-metadata")
    done = generate("rain", "-s", "7", "-o", "x.wav", *options)
    assert done.code == 0, done.stderr
    info = soundfile.info(tmp_path / "x.wav")
    assert (info.samplerate, info.channels, info.subtype) == (22_050, 1, "PCM_24")
    assert b"rain" not in (tmp_path / "x.wav").read_bytes()
    refused = generate("rain", "-o", "y.mp3", "--bit-depth", "24")
    assert refused.code == 2
    assert "bit_depth must be left out for mp3" in refused.stderr
    assert not (tmp_path / "y.mp3").exists()


def test_many_sounds_in_one_zip(generate, tmp_path):
    done = generate("rain", "-n", "2", "-s", "7", "-o", "takes.zip", "--format", "flac")
    assert done.code == 0, done.stderr
    assert done.out == "takes.zip\n"
    assert names() == ["takes.zip"]
    with zipfile.ZipFile(tmp_path / "takes.zip") as archive:
        assert archive.namelist() == ["takes-7.flac", "takes-8.flac"]
        assert soundfile.info(io.BytesIO(archive.read("takes-8.flac"))).samplerate == 44_100
    assert generate("rain", "-o", "takes.zip").code == 2


@pytest.mark.parametrize("words", [(), ("generate",), ("data",), ("train",), ("export",)])
def test_a_command_alone_greets_with_its_help(arctone, words):
    done = arctone(*words)
    assert done.code == 0
    assert done.stderr == ""
    assert done.out.startswith("Usage: arctone")
    assert len(done.out.splitlines()) > 5


def test_diverse_takes_are_named_by_their_own_seeds_and_say_how_they_were_chosen(generate):
    done = generate("rain", "-n", 2, "--diverse", "-s", 5, "-o", "take-{n}-{seed}.wav", "--json")
    report = json.loads(done.out)
    seeds = [file["seed"] for file in report["files"]]
    assert [file["path"] for file in report["files"]] == [f"take-{n + 1}-{seed}.wav" for n, seed in enumerate(seeds)]
    assert report["selection"] == {"num_candidates": 8, "first_seed": 5, "kept": seeds}
    assert (report["request"]["seed"], report["request"]["variations"], report["request"]["diverse"]) == (5, 2, True)
    path = f"take-2-{seeds[1]}.wav"
    assert read_metadata(path)["selection"] == report["selection"]
    generate("rain", "-s", seeds[1], "-o", "single.wav")
    assert np.array_equal(soundfile.read("single.wav")[0], soundfile.read(path)[0])


def test_the_summary_of_diverse_takes_names_the_candidates(generate):
    done = generate("rain", "-n", 2, "--diverse", "-o", "x.wav")
    assert done.out == "x-1.wav\nx-2.wav\n"
    assert "2 sounds of 0.50 s chosen from 8 in" in done.stderr


def test_a_single_diverse_take_is_refused(generate):
    done = generate("rain", "--diverse")
    assert (done.code, done.stderr) == (2, "error: diverse needs at least 2 variations that can differ, got 1.\n")
