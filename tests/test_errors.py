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
