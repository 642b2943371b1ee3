"""Which prompts and which clips are heard."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from arctone.errors import UsageError
from arctone.evaluation.listening.inventory import Clip
from arctone.evaluation.listening.scales import Dimension

DEFAULT_PROMPTS = 8
DEFAULT_CLIPS = 3

ByPrompt = Mapping[str, Sequence[Clip]]


@dataclass(frozen=True)
class Choice:
    """What was drawn.

    prompts: those that are judged. practice: another one, or a judged one if there is no other. clips: by (system,
    prompt), those of the diversity question; the first is the one of quality and adherence. references: by prompt.
    """

    prompts: tuple[str, ...]
    practice: str
    clips: dict[tuple[str, str], tuple[Clip, ...]]
    references: dict[str, Clip]
    warnings: tuple[str, ...]


def choose(
    systems: Mapping[str, ByPrompt],
    references: ByPrompt | None,
    dimensions: Sequence[Dimension],
    *,
    num_prompts: int | None,
    clips_per_prompt: int | None,
    seed: int,
) -> Choice:
    """Draw prompts that all systems share, and clips of them.

    Args: systems: by name, each its clips by prompt. references: real sounds by prompt, or None. num_prompts: None
    for 8, or as many as there are. clips_per_prompt: None for 3, or as many as all systems have of some prompt.
    Raises: UsageError in one sentence if the systems share too little.
    """
    shared = sorted(set.intersection(*(set(clips) for clips in systems.values())))
    if not shared:
        raise UsageError(f"the systems {_listed(list(systems))} share no prompt: their captions must be equal.")
    if references is not None:
        shared = [prompt for prompt in shared if prompt in references]
        if not shared:
            raise UsageError(
                "reference has no sound for any prompt that the systems share: their captions must be equal.",
                field="reference",
            )
    fewest = {prompt: min(len(clips[prompt]) for clips in systems.values()) for prompt in shared}
    count = _num_clips(fewest, dimensions, clips_per_prompt)
    rng = np.random.default_rng(seed)
    usable = [str(prompt) for prompt in rng.permutation([prompt for prompt in shared if fewest[prompt] >= count])]
    wanted = _num_prompts(usable, num_prompts, count)
    clips = {
        (name, prompt): _drawn(clips[prompt], count, rng)
        for name, clips in sorted(systems.items())
        for prompt in usable[: wanted + 1]
    }
    real = {prompt: _drawn(references[prompt], 1, rng)[0] for prompt in usable[: wanted + 1]} if references else {}
    practice = usable[wanted] if len(usable) > wanted else usable[0]
    return Choice(tuple(usable[:wanted]), practice, clips, real, _warnings(usable, wanted, num_prompts))


def _num_clips(fewest: Mapping[str, int], dimensions: Sequence[Dimension], asked: int | None) -> int:
    most = max(fewest.values())
    if "diversity" not in dimensions:
        return 1
    count = min(DEFAULT_CLIPS, most) if asked is None else asked
    if count < 2:
        found = (
            f"clips_per_prompt is {asked}" if asked is not None else "no shared prompt has two clips of every system"
        )
        raise UsageError(
            f"diversity needs at least 2 clips of a prompt, but {found}; leave that dimension out or add clips.",
            field="diversity",
        )
    if count > most:
        raise UsageError(
            f"clips_per_prompt is {count}, but no shared prompt has more than {most} clips of every system.",
            field="clips_per_prompt",
        )
    return count


def _num_prompts(usable: Sequence[str], asked: int | None, count: int) -> int:
    if asked is not None and asked > len(usable):
        raise UsageError(
            f"prompts is {asked}, but only {len(usable)} are shared by all systems with {count} or more clips of each.",
            field="prompts",
        )
    return min(asked or DEFAULT_PROMPTS, len(usable))


def _warnings(usable: Sequence[str], wanted: int, asked: int | None) -> tuple[str, ...]:
    found = []
    if asked is None and wanted < DEFAULT_PROMPTS:
        found.append(f"Only {wanted} prompts are shared, so conclusions about other prompts will be weak.")
    if len(usable) == wanted:
        found.append("Practice uses a prompt that is judged later, because no other is shared.")
    return tuple(found)


def _drawn(clips: Sequence[Clip], count: int, rng: np.random.Generator) -> tuple[Clip, ...]:
    return tuple(clips[int(number)] for number in rng.permutation(len(clips))[:count])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
