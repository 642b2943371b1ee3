"""Losses, levels and wrong captions with answers known in advance."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from arctone.flow.schedules import log_snr
from arctone.training import randomness as levels
from arctone.training.arc.batches import caption_groups, mismatched
from arctone.training.arc.losses import (
    ADVERSARIAL_LOSSES,
    caption_choice,
    contrastive,
    gradient_penalty,
    item_means,
    latent_error,
)

REAL, FAKE = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, -3.0]])
# log(1 + e**x)
L = {x: math.log1p(math.exp(x)) for x in (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)}


@pytest.mark.parametrize(
    ("name", "discriminator", "generator"),
    [
        ("relativistic", [L[-1], L[-3]], [L[1], L[3]]),
        ("least_squares", [1 + 1, 1 + 9], [0, 16]),
        ("hinge", [0 + 2, 1 + 0], [-1, 3]),
        ("softplus", [L[-2] + L[1], L[0] + L[-3]], [L[-1], L[3]]),
    ],
)
def test_losses_by_hand(name: str, discriminator: list[float], generator: list[float]) -> None:
    loss = ADVERSARIAL_LOSSES[name]
    assert loss.discriminator(REAL, FAKE)[0].tolist() == pytest.approx(discriminator, rel=1e-5)
    assert loss.generator(REAL, FAKE)[0].tolist() == pytest.approx(generator, rel=1e-5)


@pytest.mark.parametrize("name", ADVERSARIAL_LOSSES)
def test_signs(name: str) -> None:
    """The discriminator wants real up and fake down, the generator wants fake up."""
    real, fake = torch.zeros(1, 1, requires_grad=True), torch.zeros(1, 1, requires_grad=True)
    ADVERSARIAL_LOSSES[name].discriminator(real, fake).sum().backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad < 0
    assert fake.grad > 0 or (name == "least_squares" and fake.grad == 0)
    fake.grad = None
    ADVERSARIAL_LOSSES[name].generator(real.detach(), fake).sum().backward()
    assert fake.grad < 0


def test_relativistic_generator_does_not_saturate() -> None:
    """Where the discriminator wins clearly the generator's gradient is full; the minimax form would have none."""
    fake = torch.tensor([[-20.0]], requires_grad=True)
    ADVERSARIAL_LOSSES["relativistic"].generator(torch.tensor([[20.0]]), fake).sum().backward()
    assert fake.grad is not None
    assert fake.grad.item() == pytest.approx(-1.0)


def test_contrastive_wants_the_right_caption_above_the_wrong() -> None:
    assert contrastive(torch.tensor([3.0]), torch.tensor([0.0])).item() == pytest.approx(L[-3])
    assert contrastive(torch.tensor([0.0]), torch.tensor([3.0])).item() == pytest.approx(L[3], rel=1e-6)


def test_means_leave_padding_out() -> None:
    values, mask = torch.tensor([[1.0, 3.0, 99.0], [4.0, 99.0, 99.0]]), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    assert item_means(values, mask).tolist() == [2.0, 4.0]


@pytest.mark.parametrize("std", [0.01, 0.05, 0.5])
def test_penalty_is_half_the_squared_gradient_for_any_disturbance(std: float) -> None:
    """A linear discriminator has the same slope everywhere: 0.5 |w|^2."""
    source = torch.Generator().manual_seed(0)
    w, x = torch.tensor([3.0, 4.0]), torch.randn(20_000, 2, generator=source)
    disturbed = x + std * torch.randn(20_000, 2, generator=source)
    penalty = gradient_penalty((x @ w)[:, None], (disturbed @ w)[:, None], std)
    assert penalty.mean().item() == pytest.approx(12.5, rel=0.05)


def test_penalty_does_not_grow_with_the_number_of_positions() -> None:
    short, long = torch.ones(1, 4), torch.ones(1, 64)
    means = [item_means(gradient_penalty(x, x + 0.1, 0.1), torch.ones_like(x)).item() for x in (short, long)]
    assert means == pytest.approx([0.5, 0.5], rel=1e-4)


def test_caption_choice_by_hand_and_without_false_negatives() -> None:
    similarities = torch.tensor([[1.0, 0.0, 5.0]])
    own = torch.tensor([0])
    alone = torch.tensor([[True, False, False]])
    expected = math.log(math.e + 1 + math.exp(5)) - 1
    assert caption_choice(similarities, own, alone).item() == pytest.approx(expected, rel=1e-5)
    twin = torch.tensor([[True, False, True]])
    assert caption_choice(similarities, own, twin).item() == pytest.approx(math.log(math.e + 1) - 1, rel=1e-5)


def test_latent_error_counts_real_frames_and_items_alike() -> None:
    estimate = torch.zeros(2, 2, 3)
    target = torch.tensor([1.0, 2.0])[:, None, None].expand(2, 2, 3).clone()
    target[:, :, 2] = 50
    assert latent_error(estimate, target, torch.tensor([[1, 1, 0]] * 2).bool()).tolist() == [1.0, 4.0]


def _groups(seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    size = int(torch.randint(1, 12, (), generator=source))
    return torch.unique(torch.randint(0, size, (size,), generator=source), return_inverse=True)[1]


@pytest.mark.parametrize("seed", range(60))
def test_wrong_captions_are_a_permutation_that_serves_as_many_as_possible(seed: int) -> None:
    groups = _groups(seed)
    order, usable = mismatched(groups, torch.Generator().manual_seed(seed))
    assert order.sort().values.tolist() == [*range(len(groups))]
    assert usable.tolist() == (groups[order] != groups).tolist()
    # A group of m among n finds n - m captions outside; every other item can always be served.
    largest = int(torch.bincount(groups).max())
    assert usable.sum() == len(groups) - max(0, 2 * largest - len(groups))


def test_different_captions_never_meet_themselves_and_every_partner_occurs() -> None:
    met = torch.zeros(5, 5)
    for seed in range(400):
        order, usable = mismatched(torch.arange(5), torch.Generator().manual_seed(seed))
        assert usable.all()
        met[torch.arange(5), order] += 1
    assert not met.diagonal().any()
    others = met[~torch.eye(5, dtype=torch.bool)]
    assert others.min() > 60  # of 100 expected
    assert others.max() < 140


def test_captions_are_equal_whatever_their_case_and_spaces() -> None:
    assert caption_groups(["Rain on tin", "a dog", " rain  on TIN", ""]).tolist() == [0, 1, 0, 2]


def test_level_laws() -> None:
    quantiles = torch.linspace(0.0005, 0.9995, 1000)
    t = levels.uniform_log_snr(quantiles, -6.0, 2.0)
    # Mean and median of the published law.
    assert t.mean().item() == pytest.approx(0.734, abs=2e-3)
    assert t.median().item() == pytest.approx(0.881, abs=2e-3)
    s = levels.logit_normal(quantiles, 0.0, 1.0)
    assert s.mean().item() == pytest.approx(0.5, abs=1e-3)
    assert torch.quantile(s, 0.05).item() == pytest.approx(0.16, abs=5e-3)


def test_sampler_levels_are_the_samplers_own() -> None:
    counts = (1, 2, 4, 8)
    t, before = levels.sampler_levels(torch.linspace(0.0005, 0.9995, 4000), counts)
    wanted = torch.tensor([level for count in counts for level in log_snr(count)[:-1]])
    assert (t[:, None] - wanted).abs().min(1).values.max() < 1e-6
    # t = 1 is the only step of 1, one of 2, of 4 and of 8.
    share = (1 + 1 / 2 + 1 / 4 + 1 / 8) / 4
    assert (t == 1).float().mean().item() == pytest.approx(share, abs=2e-3)
    assert (before[t == 1] == 1).all()
    assert (before[t < 1] > t[t < 1]).all()


def test_earlier_levels_are_noisier() -> None:
    t = levels.uniform_log_snr(torch.rand(500, generator=torch.Generator().manual_seed(0)), -6.0, 2.0)
    earlier = levels.noisier(t, torch.linspace(0, 1, 500), -6.0)
    assert (earlier >= t - 1e-6).all()
    assert earlier.max() <= 1 / (1 + math.exp(-6)) + 1e-6
    assert levels.noisier(torch.ones(1), torch.tensor([0.3]), -6.0).item() == 1


def test_shift_by_length_multiplies_the_odds_as_published() -> None:
    """By the formula of the public trainer: 1 - e^mu / (e^mu + t / (1 - t)), mu = -0.5 at 256 frames, -1.15 at 4096."""
    for frames, mu in ((100, -0.5), (256, -0.5), (2176, -0.825), (4096, -1.15), (9000, -1.15)):
        t = torch.tensor([0.1, 0.5, 0.9])
        published = 1 - math.exp(mu) / (math.exp(mu) + t / (1 - t))
        assert torch.allclose(levels.shifted_levels(t, levels.length_shift(frames)), published, atol=1e-6)


def test_truncated_logit_normal_has_the_published_law() -> None:
    t = levels.truncated_logit_normal((torch.arange(100_000) + 0.5) / 100_000)
    assert 0 <= t.min() < 0.02
    assert 0.98 < t.max() <= 1
    assert t.mean().item() == pytest.approx(0.537, abs=1e-3)
