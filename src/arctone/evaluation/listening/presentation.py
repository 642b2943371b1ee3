"""What a way of presenting a test (our page, webMUSHRA) has to give: files for listeners, and what their answers
mean."""

from dataclasses import dataclass

from arctone.evaluation.listening.key import Question
from arctone.evaluation.listening.scales import Dimension
from arctone.evaluation.listening.stimuli import Joined, Sound


@dataclass(frozen=True)
class Presentation:
    """A test laid out.

    questions: all that may be answered. texts: files of the listeners' folder by path. stimuli: sound files by path.
    volume_path: where the noise for the volume goes. limits: lowest and highest answer. heard_seconds: what a
    listener hears in all, each sound once. num_ratings: by one listener, with practice and repeats.
    """

    questions: tuple[Question, ...]
    texts: dict[str, bytes]
    stimuli: dict[str, Sound | Joined]
    volume_path: str
    limits: dict[Dimension, tuple[int, int]]
    heard_seconds: float
    num_ratings: int
