"""An independent listener: which instrument family does a sound belong to?

What is evaluated
    A linear classifier over a fixed embedding, fitted to real renders of the training split only. It shares nothing
    with the generator: not its text encoder, not its autoencoder. Its accuracy on real held-out sounds is the ceiling
    for everything else it is asked.

Conventions
    Families are names. Embeddings are standardised with the mean and spread of the training sounds. Classes weigh
    equally, however many sounds each has.

Measures
    * :func:`fit`: a probe from embeddings and families
    * :meth:`Probe.predict`: the most probable family of each embedding
    * :func:`evaluate`: accuracy, balanced accuracy and chance level

References
    G. Alain and Y. Bengio, "Understanding intermediate layers using linear classifier probes", arXiv 1610.01644.

Legend: N sounds, D size of the embedding, K families.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from arctone.errors import ModelError
from arctone.files.atomic import write_atomically

FloatArray = npt.NDArray[np.float32]
FORMAT_VERSION = 1


@dataclass(frozen=True, eq=False)
class Probe:
    """A fitted probe.

    Args:
        classes: K names.
        weights: [D, K].
        bias: [K].
        mean: [D], of the training embeddings.
        scale: [D], of the training embeddings.
        embedding: Name in `EMBEDDINGS`.
        recipe: How it was trained, plain values only.
    """

    classes: tuple[str, ...]
    weights: FloatArray
    bias: FloatArray
    mean: FloatArray
    scale: FloatArray
    embedding: str
    recipe: Mapping[str, str | int | float] = field(default_factory=dict)

    def probabilities(self, embeddings: FloatArray) -> FloatArray:
        """Compute the probability of each family.

        Args:
            embeddings: [N, D].

        Returns:
            [N, K].

        Raises:
            ValueError: for another shape.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != len(self.mean):
            raise ValueError(f"embeddings have the shape {embeddings.shape}, but must be [sounds, {len(self.mean)}].")
        logits = (embeddings - self.mean) / self.scale @ self.weights + self.bias
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)

    def predict(self, embeddings: FloatArray) -> list[str]:
        """Classify embeddings.

        Args:
            embeddings: [N, D].

        Returns:
            Most probable class of each, N names.
        """
        return [self.classes[index] for index in self.probabilities(embeddings).argmax(axis=1)]

    def save(self, path: str | Path) -> None:
        """Write the probe as .npz without pickle; weights in 16 bits, which keeps the file small."""
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            **{name: getattr(self, name).astype(np.float16) for name in ("weights", "bias")},
            mean=self.mean,
            scale=self.scale,
            about=np.array(
                json.dumps(
                    {
                        "version": FORMAT_VERSION,
                        "classes": self.classes,
                        "embedding": self.embedding,
                        "recipe": dict(self.recipe),
                    }
                )
            ),
        )
        write_atomically(path, buffer.getvalue(), force=True)


def load(path: str | Path) -> Probe:
    """Read what `Probe.save` wrote.

    Args:
        path: File of the weights.

    Returns:
        The probe.

    Raises:
        ModelError: if the file is missing or is no probe of this version.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(str(arrays["about"]))
            values = {name: arrays[name].astype(np.float32) for name in ("weights", "bias", "mean", "scale")}
    except (OSError, EOFError, ValueError, KeyError) as problem:
        raise ModelError(f"the probe {Path(path).name} cannot be read: {problem}.") from problem
    if about["version"] != FORMAT_VERSION:
        raise ModelError(f"the probe {Path(path).name} has version {about['version']}, but must have {FORMAT_VERSION}.")
    return Probe(classes=tuple(about["classes"]), embedding=about["embedding"], recipe=about["recipe"], **values)


def validate(embeddings: FloatArray, families: Sequence[str]) -> None:
    """Refuse arguments that cannot be measured.

    Args:
        embeddings: [N, D].
        families: Label of each, N of them.

    Raises:
        ValueError: unless there is one finite embedding for each family, and at least two different families.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(families):
        raise ValueError(f"embeddings have the shape {embeddings.shape}, but must be [{len(families)}, size].")
    if len(set(families)) < 2:
        raise ValueError(f"there are {len(set(families))} different families, but a probe needs at least 2.")
    if not np.isfinite(embeddings).all():
        raise ValueError("embeddings must be finite, but at least one is infinite or not a number.")


def fit(
    embeddings: FloatArray,
    families: Sequence[str],
    embedding: str,
    penalty: float = 1e-2,
    recipe: Mapping[str, str | int | float] | None = None,
) -> Probe:
    """Fit a multinomial logistic regression by L-BFGS; the same data give the same probe. Needs torch.

    Args:
        embeddings: [N, D].
        families: N names.
        embedding: Name in `EMBEDDINGS`.
        penalty: Of the squared weights, >= 0.
        recipe: Kept in the probe.

    Returns:
        The probe.

    Raises:
        ValueError: see `validate`.
    """
    validate(embeddings, families)
    mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0) + 1e-3
    classes = tuple(sorted(set(families)))
    labels = np.array([classes.index(family) for family in families])
    weights, bias = _minimise((embeddings - mean) / scale, labels, len(classes), penalty)
    return Probe(classes, weights, bias, mean, scale, embedding, {"penalty": penalty, **(recipe or {})})


def evaluate(reference: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Compute accuracy, its mean over families, and the chance level of always naming the most frequent family.

    Args:
        reference: True labels.
        predicted: Labels that the probe gave.

    Returns:
        Values by name, 0 to 1.

    Raises:
        ValueError: if the lists are empty or differ in length.
    """
    if len(reference) != len(predicted) or not reference:
        raise ValueError(
            f"there are {len(reference)} references and {len(predicted)} predictions, but both must be equal."
        )
    right = np.array([a == b for a, b in zip(reference, predicted, strict=True)])
    names = np.array(reference)
    families, counts = np.unique(names, return_counts=True)
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([right[names == family].mean() for family in families])),
        "chance": float(counts.max() / counts.sum()),
    }


def _minimise(
    inputs: FloatArray, labels: npt.NDArray[np.int64], num_classes: int, penalty: float
) -> tuple[FloatArray, FloatArray]:
    import torch
    from torch.nn import functional

    x, y = torch.from_numpy(inputs.astype(np.float64)), torch.from_numpy(labels)
    class_weights = 1.0 / torch.bincount(y, minlength=num_classes).double()
    weights = torch.zeros(x.shape[1], num_classes, dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = functional.cross_entropy(x @ weights + bias, y, class_weights) + penalty * weights.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach().numpy().astype(np.float32), bias.detach().numpy().astype(np.float32)


# Name of the kind: what stands for it in a prompt. The first that fits counts where one sound has two names ("an
# arcade sci-fi gun" is a laser and no gunshot).
_KINDS: tuple[tuple[str, str], ...] = (
    ("dog", r"\bdogs?\b|\bbark(?:s|ing)?\b|canine"),
    ("cat", r"\bcats?\b|meow"),
    ("rooster", r"rooster|cockerel"),
    ("baby", r"\bbaby\b|infant"),
    ("sneeze", r"sneez"),
    ("rain", r"\brain(?:fall)?\b|\braining\b"),
    ("sea", r"\bsea\b|\bseashore\b|\bocean\b|\bwaves\b|\bsurf\b"),
    ("fire", r"\b(?:camp|bon)?fire\b(?! spell)|\bflames\b"),
    ("clock", r"\bclocks?\b"),
    ("helicopter", r"helicopter|\bchopper\b"),
    ("chainsaw", r"chain ?saw"),
    ("footstep", r"\bfoot ?steps?\b|\bstep in\b"),
    ("laser", r"\blasers?\b|\bphaser\b|sci-fi gun"),
    ("gunshot", r"\bgun ?shots?\b|\bgun shot\b|\bcannon shot\b|\bshotgun\b|\brifle\b"),
    ("explosion", r"explo|\bblast\b"),
    ("engine", r"\bengines?\b|thruster"),
    ("glass", r"\bglass\b"),
    ("door", r"\bdoors?\b"),
    ("whoosh", r"whoosh|swoosh|\bswish\b|\bswipe\b"),
    ("water", r"\bsplash|\bliquid\b|\bviscous\b|\bbubbl|\bwater\b"),
    ("creature", r"\bcreature\b|\bmonster\b|\balien\b|\btroll\b|giant bug"),
    ("interface", r"\binterface\b|\bbeep\b"),
    ("jingle", r"\bjingle\b"),
    ("metal", r"\bmetal\b"),
    ("wood", r"\bwood(?:en)?\b|\bplank\b"),
)
KINDS = tuple(name for name, _ in _KINDS)
_PATTERNS = tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in _KINDS)
# Where words of both kinds stand, one thing is meant: the first.
_SAME = frozenset(
    {
        ("laser", "gunshot"), ("engine", "laser"), ("gunshot", "explosion"), ("water", "sea"), ("interface", "glass"),
        ("footstep", "wood"), ("door", "wood"), ("door", "metal"), ("laser", "door"), ("footstep", "metal"),
    }
)  # fmt: skip


def kind_of(words: str) -> str | None:
    """Return the kind that words name; None where they name none, or two different things.

    Args:
        words: Prompt or caption.

    >>> kind_of("an angry growling dog")
    'dog'
    >>> kind_of("a dog barking in the rain") is None
    True

    Returns:
        Name of the kind, or None.
    """
    found = [name for name, pattern in _PATTERNS if pattern.search(words)]
    if len(found) == 2:
        for first, second in (found, found[::-1]):
            if (first, second) in _SAME:
                return first
    return found[0] if len(found) == 1 else None
