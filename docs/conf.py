"""Sphinx configuration of the site; tools/site.py prepares the pages and builds them."""

import re
from typing import Any

from arctone.version import __version__

project = "arctone"
author = "the arctone authors"
copyright = "the arctone authors, Apache-2.0"
release = __version__
root_doc = "index"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "arctone"
html_show_sourcelink = False
html_copy_source = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_heading_anchors = 4
# JSON and shell blocks of the pages show parts and placeholders, which a lexer may not know.
suppress_warnings = ["misc.highlighting_failure"]

# Names in single backticks are code, as in Markdown.
default_role = "code"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

_ONE_LINE_SECTION = re.compile(r"^(Args|Returns|Raises|Source|Shape|Yields): \S")


def tidy(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn what Markdown allows and reStructuredText does not into what both read.

    Bars are escaped outside code. A section that begins on the line of its name ("Args: x: ...") becomes one paragraph.
    """
    found: list[str] = []
    for line in lines:
        line = "`".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(line.split("`")))
        continues = found and _ONE_LINE_SECTION.match(found[-1]) and line.startswith(" ")
        if continues:
            found[-1] += " " + line.strip()
        elif _ONE_LINE_SECTION.match(line) or (found and _ONE_LINE_SECTION.match(found[-1])):
            found += ["", line]
        else:
            found.append(line)
    lines[:] = found


def setup(app: Any) -> None:
    """Connect before napoleon, which comes at 500."""
    app.connect("autodoc-process-docstring", tidy, priority=400)
