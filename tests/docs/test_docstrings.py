"""The check of docstrings: it finds sections that pydoclint takes for prose, and leaves proper ones alone."""

import pytest

from tools import docstrings


@pytest.mark.parametrize(
    ("docstring", "num_found"),
    [
        ('"""Do.\n\n    Args: x: a number.\n    """', 1),
        ('"""Do. Returns: a number."""', 1),
        ('"""Do.\n\n    Args:\n        x: a number.\n\n    Returns:\n        Another.\n    """', 0),
        ('"""Do.\n\n    Source: a paper.\n    """', 0),
    ],
)
def test_sections_on_the_line_of_their_name_are_found(docstring, num_found, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(f"def do(x):\n    {docstring}\n")
    assert len(list(docstrings.inline_sections(path))) == num_found


def test_a_wrong_argument_fails_the_check(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(docstrings, "SOURCE", tmp_path)
    monkeypatch.setattr(docstrings, "PACKAGES", ("flow",))
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "module.py").write_text(
        'def do(x: int) -> None:\n    """Do.\n\n    Args:\n        y: a number.\n    """\n'
    )
    assert docstrings.main() == 1
    assert "DOC103" in "".join(capfd.readouterr())
