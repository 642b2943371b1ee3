"""Every kind of error has the exit code the command line promises."""

import pytest

from arctone import errors


@pytest.mark.parametrize(
    "kind, exit_code",
    [
        (errors.UsageError, 2),
        (errors.InputFileError, 3),
        (errors.ModelError, 4),
        (errors.MemoryLimitError, 5),
        (errors.Cancelled, 130),
    ],
)
def test_exit_code(kind: type[errors.ArctoneError], exit_code: int) -> None:
    assert kind("why").exit_code == exit_code
    assert issubclass(kind, errors.ArctoneError)
    assert str(kind("why")) == "why"


def test_usage_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="too long"):
        raise errors.UsageError("too long")


@pytest.mark.parametrize("kind", [errors.UsageError, errors.InputFileError, errors.ModelError])
def test_a_sentence_is_one_line_that_cannot_steer_a_terminal(kind):
    problem = kind("a\x1b[2J\x07.wav\r\n\u202eholds\x00 nothing.")
    assert str(problem) == "a?[2J?.wav  ?holds? nothing."
    assert len(str(kind("x" * 100_000))) == 2_000


def test_a_sentence_is_made_of_field_value_and_what_is_allowed():
    problem = errors.UsageError(field="steps", value=0, allowed="1 or more")
    assert (str(problem), problem.field, problem.value) == ("steps must be 1 or more, got 0.", "steps", 0)
    assert errors.UsageError("words").field is None
