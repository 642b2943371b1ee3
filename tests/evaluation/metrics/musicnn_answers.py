"""Makes `musicnn_answers.json`: what the package musicnn itself says, in TensorFlow, and librosa. Not run by the tests.

pip install tensorflow-cpu==2.15.1 "numpy<2" librosa && pip install --no-deps musicnn==0.1.0
python tests/evaluation/metrics/musicnn_answers.py
"""

import json
from pathlib import Path

import numpy as np

PATH = Path(__file__).with_suffix(".json")


def spectrograms() -> np.ndarray:
    """Two windows of numbers in the range of log mel spectra, [2, 187, 96]."""
    return np.abs(np.random.default_rng(5).standard_normal((2, 187, 96))).astype(np.float32) * 1.5


def chirp() -> np.ndarray:
    """One second at 16 kHz, rising from 200 Hz, at full level."""
    t = np.arange(16_000) / 16_000
    samples = np.sin(2 * np.pi * (200 + 1500 * t) * t)
    return (samples / np.abs(samples).max()).astype(np.float32)


def network() -> dict[str, list]:
    """Logits and last hidden layer of the published graph."""
    import musicnn
    import tensorflow as tf
    from musicnn import models

    tf.compat.v1.disable_eager_execution()
    with tf.name_scope("model"):
        x = tf.compat.v1.placeholder(tf.float32, [None, 187, 96])
        training = tf.compat.v1.placeholder(tf.bool)
        out = models.define_model(x, training, "MTT_musicnn", 50)
    with tf.compat.v1.Session() as session:
        tf.compat.v1.train.Saver().restore(session, str(Path(musicnn.__file__).parent / "MTT_musicnn") + "/")
        logits, hidden = session.run([out[0], out[-1]], {x: spectrograms(), training: False})
    return {"logits": logits.tolist(), "hidden": hidden.tolist()}


def spectrum() -> dict[str, list]:
    """Mel filters (every seventh band) and mel power (every ninth frame) by librosa, as the package calls it."""
    import librosa

    settings = {"sr": 16_000, "n_fft": 512, "n_mels": 96}
    power = librosa.feature.melspectrogram(y=chirp(), hop_length=256, pad_mode="reflect", **settings)
    return {"filters": librosa.filters.mel(**settings)[::7].tolist(), "power": power.T[::9].tolist()}


if __name__ == "__main__":
    answers = {**network(), **spectrum()}
    PATH.write_text(json.dumps({name: np.float64(value).round(9).tolist() for name, value in answers.items()}) + "\n")
