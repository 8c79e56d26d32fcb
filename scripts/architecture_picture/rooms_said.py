"""What the rooms say of themselves, in the docstrings of the code."""

import ast
import re

from rooms import MODULES


def sentence(room: str) -> str:
    """The first sentence of what its file, or the `__init__.py` of its folder, says."""
    said = ast.get_docstring(ast.parse(MODULES[room].read_text(encoding="utf-8"))) or ""
    return re.split(r"(?<=\.)\s", said, maxsplit=1)[0].replace("\n", " ")


def heading(room: str) -> str:
    """The first sentence as far as its colon, for a box."""
    return re.split(r":\s|\.$", sentence(room), maxsplit=1)[0].replace("`", "")
