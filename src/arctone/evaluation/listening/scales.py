"""What listeners are asked, and the words of the answers.

References
    Quality: the five words of ITU-T P.800. Diversity, quality and prompt adherence are the dimensions of Novack et al.,
    arXiv 2505.08175, who publish no wording; the words for the other two are this project's.
"""

from dataclasses import dataclass
from typing import Literal

Dimension = Literal["diversity", "quality", "adherence"]

NUM_POINTS = 5


@dataclass(frozen=True)
class Scale:
    """A question with five answers. words: from 1 to 5. shows_prompt: whether the listener reads the description."""

    name: str
    question: str
    advice: str
    words: tuple[str, str, str, str, str]
    shows_prompt: bool


SCALES: dict[Dimension, Scale] = {
    "diversity": Scale(
        "Diversity",
        "How different are these sounds from each other?",
        "All of them were made for the same description. Judge only how much they differ, not how good they are.",
        ("Nearly identical", "Slightly different", "Moderately different", "Very different", "Entirely different"),
        True,
    ),
    "quality": Scale(
        "Quality",
        "How good is the quality of this sound?",
        "Listen for noise, roughness, dullness and other faults. It does not matter what the sound is.",
        ("Bad", "Poor", "Fair", "Good", "Excellent"),
        False,
    ),
    "adherence": Scale(
        "Match",
        "How well does this sound match the description?",
        "Judge only whether you hear what the description says, not how good it sounds.",
        ("Not at all", "Slightly", "Partly", "Mostly", "Completely"),
        True,
    ),
}
