"""docs/errors.md lists every error that womm's source can raise, so that the page can't rot."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "errors.md"


def error_classes(trees: list[ast.Module]) -> set[str]:
    """WommError, and the names of what is derived from it, but for CommandFailed, which quotes others."""
    found = {"WommError"}
    for tree in trees:
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.ClassDef)
                and {b.id for b in node.bases if isinstance(b, ast.Name)} & found
            ):
                found.add(node.name)
    return found - {"CommandFailed"}


def constant_parts(node: ast.expr) -> Iterator[str]:
    """A message as the page shows it: … for what differs from case to case."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.JoinedStr):
        for part in node.values:
            yield from constant_parts(part)
    elif isinstance(node, ast.IfExp):
        yield from constant_parts(node.body)
    else:
        yield "…"


def normal(message: str) -> str:
    """What counts of a message: its own words."""
    return " ".join(re.findall(r"[\w'-]+", message))


def messages() -> dict[str, str]:
    """Each message of the source, normal, with where it stands."""
    files = sorted((ROOT / "womm").rglob("*.py"))
    trees = [ast.parse(file.read_text()) for file in files]
    classes = error_classes(trees)
    found = {}
    for file, tree in zip(files, trees, strict=True):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in classes:
                text = "".join(constant_parts(node.args[0])) if node.args else ""
                if re.search("[a-z]", text):
                    found[normal(text)] = f"{file.relative_to(ROOT)}:{node.lineno}: {text}"
    return found


def listed() -> set[str]:
    """The messages of the page: the first cells of its tables."""
    rows = re.findall(r"^\| (.+?) \|", PAGE.read_text(), re.MULTILINE)
    return {normal(row) for row in rows}


def test_every_error_has_a_line_in_the_page() -> None:
    # A line may go on with Kubernetes' own words: one for each of its reasons.
    known = listed()
    missing = [
        where for message, where in messages().items() if not any(line.startswith(message) for line in known)
    ]
    assert missing == [], "docs/errors.md needs a line `| message | what helps |` for each of these"


@pytest.mark.parametrize(
    ("source", "message"),
    [('f"a {b} (c)"', "a c"), ('f"{x} d" if y else z', "d"), ('"`e` " f"{g!r}"', "e"), ("h", "")],
)
def test_a_message_is_its_constant_words(source: str, message: str) -> None:
    expression = ast.parse(source, mode="eval").body
    assert normal("".join(constant_parts(expression))) == message
