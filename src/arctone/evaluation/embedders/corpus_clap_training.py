"""Fitting the two heads of `corpus-clap` to features of sounds and of their captions.

Symmetric InfoNCE: within a batch, each sound must find its caption among all captions and each caption its sound.
Equal captions are not negatives of each other. The state with the smallest loss on the validation pairs is kept. Needs
torch.

References
    A. van den Oord, Y. Li and O. Vinyals, "Representation learning with contrastive predictive coding", arXiv
    1807.03748.

Legend: N sounds, M captions of each, F features.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from arctone.evaluation.embedders.corpus_clap import EMBEDDING_SIZE, CorpusClap, Head

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Sounds and their captions.

    Args:
        audio: [N, F].
        text: [N, M, F].
        captions: N lists of M.
    """

    audio: FloatArray
    text: FloatArray
    captions: list[list[str]]

    def __post_init__(self) -> None:
        if not len(self.audio) == len(self.text) == len(self.captions) or len(self.audio) < 2:
            sizes = (len(self.audio), len(self.text), len(self.captions))
            raise ValueError(
                f"there are {sizes} sounds, texts and captions, but the same number of at least 2 is needed."
            )


@dataclass(frozen=True)
class CorpusClapRecipe:
    """Settings of the fit.

    Args:
        noise: Standard deviation added to standardised features.
    """

    hidden: int = 384
    steps: int = 3000
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.3
    dropout: float = 0.5
    noise: float = 0.6
    temperature: float = 0.07
    check_every: int = 50
    seed: int = 0


def fit(train: Pairs, valid: Pairs, recipe: CorpusClapRecipe) -> tuple[CorpusClap, float]:
    """Both heads and the validation loss they reach. The same arguments give the same heads on one machine."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    heads = nn.ModuleDict({"audio": _build(train.audio, recipe), "text": _build(_flat(train.text), recipe)})
    scale = nn.Parameter(torch.tensor(np.log(1 / recipe.temperature), dtype=torch.float32))
    optimiser = torch.optim.AdamW([*heads.parameters(), scale], recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, recipe.steps)
    best, best_loss = copy.deepcopy(heads.state_dict()), float("inf")
    for step in range(1, recipe.steps + 1):
        loss = _loss(heads, scale, *_batch(train, recipe.batch_size, rng))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        if step % recipe.check_every == 0 and (checked := _checked(heads, scale, valid)) < best_loss:
            best, best_loss = copy.deepcopy(heads.state_dict()), checked
    heads.load_state_dict(best)
    return CorpusClap(_as_head(heads["audio"]), _as_head(heads["text"])), best_loss


class _Noise(nn.Module):
    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def forward(self, x: Tensor) -> Tensor:
        return x + self.deviation * torch.randn_like(x) if self.training else x


class _Standardise(nn.Module):
    def __init__(self, features: FloatArray) -> None:
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(features.mean(axis=0)))
        # A feature that hardly moves must not become a loud one.
        scale = features.std(axis=0)
        self.register_buffer("scale", torch.from_numpy(np.maximum(scale, 0.05 * np.median(scale) + 1e-3)))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.scale  # type: ignore[operator]


def _build(features: FloatArray, recipe: CorpusClapRecipe) -> nn.Sequential:
    return nn.Sequential(
        _Standardise(features),
        _Noise(recipe.noise),
        nn.Linear(features.shape[1], recipe.hidden),
        nn.ReLU(),
        nn.Dropout(recipe.dropout),
        nn.Linear(recipe.hidden, EMBEDDING_SIZE),
    )


def _batch(pairs: Pairs, size: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[str]]:
    """Sounds, one caption of each, and the captions' words."""
    chosen = rng.permutation(len(pairs.audio))[:size]
    wording = rng.integers(pairs.text.shape[1], size=len(chosen))
    words = [pairs.captions[i][w] for i, w in zip(chosen, wording, strict=True)]
    return torch.from_numpy(pairs.audio[chosen]), torch.from_numpy(pairs.text[chosen, wording]), words


def _loss(heads: nn.ModuleDict, scale: Tensor, audio: Tensor, text: Tensor, words: list[str]) -> Tensor:
    sounds = functional.normalize(heads["audio"](audio), dim=1)
    captions = functional.normalize(heads["text"](text), dim=1)
    logits = scale.clamp(max=np.log(100.0)).exp() * sounds @ captions.T
    logits = logits.masked_fill(_same_words(words), -torch.inf)
    target = torch.arange(len(words))
    return 0.5 * (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target))


def _same_words(words: list[str]) -> Tensor:
    """Pairs of different sounds whose captions are equal, [B, B]."""
    numbers = np.unique(words, return_inverse=True)[1]
    same = numbers[:, None] == numbers
    np.fill_diagonal(same, False)
    return torch.from_numpy(same)


@torch.no_grad()
def _checked(heads: nn.ModuleDict, scale: Tensor, valid: Pairs) -> float:
    heads.eval()
    audio = torch.from_numpy(valid.audio)
    losses = [
        _loss(heads, scale, audio, torch.from_numpy(valid.text[:, w]), [c[w] for c in valid.captions])
        for w in range(valid.text.shape[1])
    ]
    heads.train()
    return float(torch.stack(losses).mean())


def _flat(text: FloatArray) -> FloatArray:
    return text.reshape(-1, text.shape[-1])


def _as_head(module: nn.Module) -> Head:
    state = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    first, last = (state["2.weight"].T, state["2.bias"]), (state["5.weight"].T, state["5.bias"])
    return Head(state["0.mean"], state["0.scale"], *first, *last)
