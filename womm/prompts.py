"""Questions to the user, on the terminal: the only importer of questionary.

What is asked stands on stderr, and the answer is read from the terminal itself: stdin is the jobs', and
stdout may be a file. Ctrl-C raises Interrupted, and so does the end of the input where there is no default.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from womm import lines
from womm.errors import Interrupted

if TYPE_CHECKING:
    from questionary import Question

_TERMINAL = "/dev/tty"
# What stands before a choice: the pointer, or the mark of one that can't be taken.
_MARGIN = 5


@dataclass(frozen=True)
class Choice:
    """One of several answers: its name, what it means in a line; `barred` says why it can't be taken here."""

    value: str
    label: str
    meaning: str = ""
    barred: str = ""


def can_ask() -> bool:
    """Whether there is somebody who sees a question and can answer it. The others ask, which needs that."""
    try:
        with _terminal():
            return os.isatty(2)
    except OSError:
        return False


def confirm(question: str, default: bool = False) -> bool:
    """Yes or no; the end of the input means no."""
    try:
        return bool(_ask("confirm", question, default=default))
    except EOFError:
        return False


def text(question: str, default: str = "", complaint: Callable[[str], str] = lambda _: "") -> str:
    """A line; it is asked for until `complaint` returns "" for it."""
    with _end_of_input():
        return str(_ask("text", question, default=default, validate=lambda line: complaint(line) or True))


def select(question: str, choices: Sequence[Choice], default: str) -> str:
    """The value of one of them, none of the barred."""
    with _end_of_input():
        return str(_ask("select", question, choices=choices, default=default))


def several(question: str, choices: Sequence[Choice]) -> list[str]:
    """The values of any number of them."""
    with _end_of_input():
        return list(_ask("checkbox", question, choices=choices))


def titles(choices: Sequence[Choice], columns: int) -> list[str]:
    """How the choices are shown: a line each if all of them fit, else their meanings below their labels."""
    wide = max(len(choice.label) for choice in choices)
    notes = [_note(choice) for choice in choices]
    if all(wide + 2 + len(note) <= columns - _MARGIN for note in notes):
        return [
            f"{choice.label:{wide}}  {note}".rstrip() for choice, note in zip(choices, notes, strict=True)
        ]
    below = " " * _MARGIN
    return [
        "\n".join(
            [choice.label, *textwrap.wrap(note, columns - 1, initial_indent=below, subsequent_indent=below)]
        )
        for choice, note in zip(choices, notes, strict=True)
    ]


def _note(choice: Choice) -> str:
    return f"{choice.meaning} (not here: {choice.barred})".strip() if choice.barred else choice.meaning


def _ask(kind: str, question: str, **how: Any) -> Any:
    with _terminal() as terminal, open(2, "w", encoding="utf-8", closefd=False) as stderr:
        shown = titles(how["choices"], shutil.get_terminal_size().columns) if how.get("choices") else []
        if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
            if shown:
                how["choices"] = [
                    (None if choice.barred else choice.value, title)
                    for choice, title in zip(how["choices"], shown, strict=True)
                ]
            return getattr(lines, kind)(lines.Dialogue(terminal, stderr), question, **how)
        labels = {choice.value: choice.label for choice in how.get("choices", ())}
        if labels:
            how |= _choices(how["choices"], shown)
        try:
            answer = _prompt(kind, question, terminal, stderr, how).unsafe_ask()
        except KeyboardInterrupt:
            # On a terminal in raw mode Ctrl-C is a key, not a signal.
            raise Interrupted(signal.SIGINT) from None
        if labels:
            # In place of the erased list, one line.
            words = [labels[value] for value in (answer if kind == "checkbox" else [answer])]
            stderr.write(f"? {question}  {', '.join(words) or 'none'}\n")
        return answer


def _choices(choices: Sequence[Choice], shown: Sequence[str]) -> dict[str, Any]:
    import questionary  # noqa: PLC0415

    # True: why it is barred stands in its title; before that it gets a mark, "- ".
    barred: Any = True
    indent = "  " if any(choice.barred for choice in choices) else ""
    made = [
        questionary.Choice(title, value=choice.value, disabled=barred)
        if choice.barred
        else questionary.Choice(f"{indent}{title}", value=choice.value)
        for choice, title in zip(choices, shown, strict=True)
    ]
    return {"choices": made, "erase_when_done": True}


def _prompt(kind: str, question: str, terminal: TextIO, stderr: TextIO, how: dict[str, Any]) -> Question:
    # Here, not above: they take 0.3 s, and most commands ask nothing.
    import questionary  # noqa: PLC0415
    from prompt_toolkit.input import create_input  # noqa: PLC0415
    from prompt_toolkit.output.vt100 import Vt100_Output  # noqa: PLC0415

    if kind == "select":
        # The default is not marked for ever.
        how |= {"style": questionary.Style([("selected", "noreverse")]), "instruction": "(arrow keys, Enter)"}
    elif kind == "checkbox":
        how["instruction"] = "(space marks, Enter goes on)"
    output = Vt100_Output.from_pty(stderr, term=os.environ["TERM"])
    # A terminal that doesn't tell where its cursor is would be complained of.
    output.enable_cpr = False
    made: Question = getattr(questionary, kind)(question, input=create_input(terminal), output=output, **how)
    return made


@contextlib.contextmanager
def _end_of_input() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise Interrupted(signal.SIGINT) from None


@contextlib.contextmanager
def _terminal() -> Iterator[TextIO]:
    with open(_TERMINAL, encoding="utf-8", errors="surrogateescape") as terminal:
        yield terminal
