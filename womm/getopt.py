"""GNU parallel's options, read as GNU parallel reads them: Getopt::Long's rules, as data.

GNU parallel configures Perl's Getopt::Long with "bundling" and "require_order". The table of its
options is taken from the vendored program itself by the build (vendor/options.json), so that no list
of ours can fall behind. tests/test_getopt.py compares this reader with the real Getopt::Long.
"""

from __future__ import annotations

import json
import re
import string
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from womm.errors import WommError

_STARTER = re.compile(r"(--|-|\+)(.*)", re.DOTALL)
# What an optional value must not begin with; Perl's `.` is no newline either.
_OPTION = re.compile(r"[-+].")
# Perl sees bytes: the case of ASCII letters only is ignored.
_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_NUMBERS = {
    "integer": re.compile(r"[-+]?_*[0-9][0-9_]*"),
    "float": re.compile(r"[-+]?(?=[0-9.])[0-9_]*(\.[0-9_]+)?([eE][-+]?[0-9_]+)?"),
}


class BadOption(WommError):
    """GNU parallel refuses these options, too; `arguments` shows it which, for its own message."""

    def __init__(self, message: str, arguments: Sequence[str]) -> None:
        super().__init__(message, "see `womm parallel --help` and `man parallel`")
        self.arguments = list(arguments)


@dataclass(frozen=True)
class Option:
    """One option: its names (the first is the canonical one) and what it takes.

    `value` is "none", "required" or "optional"; `type` is "string", "integer", "float" or None. With
    `key_value` the value has to be KEY=VALUE.
    """

    names: tuple[str, ...]
    value: str = "none"
    type: str | None = None
    key_value: bool = False


@dataclass(frozen=True)
class Token:
    """One option as it was given: `raw` are the arguments that say it, and it alone."""

    option: Option
    value: str | None
    raw: tuple[str, ...]

    @property
    def name(self) -> str:
        """The option's canonical name."""
        return self.option.names[0]


@dataclass(frozen=True)
class Parsed:
    """`tokens` in their order; `rest` is what follows; `terminated`: a `--` stood between them."""

    tokens: list[Token]
    rest: list[str]
    terminated: bool


@dataclass(frozen=True)
class Table:
    """GNU parallel's options and ours, by name.

    Ours count only when they are written out; abbreviations are GNU parallel's alone.
    """

    theirs: tuple[Option, ...]
    ours: tuple[Option, ...] = ()

    @cached_property
    def _their_names(self) -> dict[str, Option]:
        # As in Getopt::Long: case counts in single letters only.
        return {
            name if len(name) == 1 else name.translate(_LOWER): option
            for option in self.theirs
            for name in option.names
        }

    @cached_property
    def _our_names(self) -> dict[str, Option]:
        return {name: option for option in self.ours for name in option.names}

    def our(self, name: str) -> Option | None:
        """Our option of exactly this name."""
        return self._our_names.get(name)

    def letter(self, letter: str) -> Option | None:
        """GNU parallel's single-letter option."""
        return self._their_names.get(letter)

    def long(self, typed: str) -> Option | None:
        """GNU parallel's option that `typed` names or abbreviates. Raises BadOption if ambiguous."""
        typed = typed.translate(_LOWER)
        if typed in self._their_names:
            return self._their_names[typed]
        hits = [name for name in self._their_names if typed and name.startswith(typed)]
        if len({self._their_names[name].names for name in hits}) > 1:
            raise BadOption(f"option --{typed} is ambiguous ({', '.join(hits)})", [f"--{typed}"])
        return self._their_names[hits[0]] if hits else None


def load_table(path: Path, ours: Iterable[Option] = ()) -> Table:
    """Read GNU parallel's table as the build left it. Raises WommError if the build did not."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["options"]
    except OSError as error:
        raise WommError(
            "GNU parallel is missing from this installation", "in a checkout: make vendor"
        ) from error
    theirs = tuple(Option(tuple(e["names"]), e["value"], e["type"], e["key_value"]) for e in entries)
    return Table(theirs, tuple(ours))


def parse(arguments: Sequence[str], table: Table) -> Parsed:
    """Read options up to `--` or to the first argument that is none. Raises BadOption."""
    todo = deque(arguments)
    tokens: list[Token] = []
    while todo:
        if todo[0] == "--":
            todo.popleft()
            return Parsed(tokens, list(todo), True)
        match = _STARTER.fullmatch(todo[0])
        if match is None or todo[0] == "-":
            break
        todo.popleft()
        starter, body = match.groups()
        tokens.append(_bundle(body, todo, table) if starter == "-" else _long(starter, body, todo, table))
    return Parsed(tokens, list(todo), False)


def _bundle(body: str, todo: deque[str], table: Table) -> Token:
    # "-kj4": one letter now; what remains is its value, or the next bundle.
    letter, rest = body[0], body[1:]
    option = table.letter(letter)
    if option is None:
        raise BadOption(f"unknown option: -{letter}", [f"-{letter}"])
    if option.value == "none":
        if rest:
            todo.appendleft(f"-{rest}")
        return Token(option, None, (f"-{letter}",))
    if not rest:
        return _separate(option, f"-{letter}", todo)
    number = _NUMBERS.get(option.type or "")
    if number is None:
        return Token(option, rest, (f"-{letter}{rest}",))
    match = number.match(rest)
    if match is None and option.value == "required":
        raise BadOption(f"-{letter} takes a number, not {rest!r}", [f"-{letter}{rest}"])
    value = match.group() if match else ""
    if rest != value:
        todo.appendleft(f"-{rest[len(value) :]}")
    return Token(option, value or None, (f"-{letter}{value}",))


def _long(starter: str, body: str, todo: deque[str], table: Table) -> Token:
    name, equals, inline = body, "", ""
    if starter == "--" and "=" in body[1:]:
        head, equals, inline = body[1:].partition("=")
        name = body[0] + head
    typed = f"{starter}{name}"
    option = (table.our(name) if starter == "--" else None) or table.long(name)
    if option is None:
        raise BadOption(f"unknown option: {typed}", [typed])
    if not equals:
        return Token(option, None, (typed,)) if option.value == "none" else _separate(option, typed, todo)
    raw = f"{typed}={inline}"
    if option.value == "none":
        raise BadOption(f"{typed} takes no argument", [raw])
    if option.value == "required" and not inline:
        raise BadOption(f"{typed} needs an argument", [raw])
    if inline:
        _check(option, typed, inline, [raw])
    return Token(option, inline, (raw,))


def _separate(option: Option, typed: str, todo: deque[str]) -> Token:
    # The value, if any, is the next argument.
    if option.value == "required":
        if not todo:
            raise BadOption(f"{typed} needs an argument", [typed])
        value = todo.popleft()
        _check(option, typed, value, [typed, value])
        return Token(option, value, (typed, value))
    number = _NUMBERS.get(option.type or "")
    if not todo or not (_is_number(number, todo[0]) if number else _OPTION.match(todo[0]) is None):
        return Token(option, None, (typed,))
    value = todo.popleft()
    return Token(option, value, (typed, value))


def _check(option: Option, typed: str, value: str, raw: Sequence[str]) -> None:
    # Raises BadOption for a value that is none of this option's.
    number = _NUMBERS.get(option.type or "")
    if number is not None and not _is_number(number, value):
        raise BadOption(f"{typed} takes a number, not {value!r}", raw)
    if option.key_value and option.value == "required" and "=" not in value:
        raise BadOption(f"{typed} takes KEY=VALUE, not {value!r}", raw)


def _is_number(number: re.Pattern[str], value: str) -> bool:
    # Perl's `$` matches before a newline that ends the text, too.
    return number.fullmatch(value.removesuffix("\n")) is not None
