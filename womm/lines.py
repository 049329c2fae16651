"""The questions of prompts.py line by line, for terminals that can't move their cursor (TERM=dumb).

A *choice* here is (value, title); one whose value is None can't be taken. The end of the input is EOFError.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from womm.errors import Interrupted

Choices = Sequence[tuple[str | None, str]]


@dataclass(frozen=True)
class Dialogue:
    """Where answers come from, and where questions go."""

    terminal: TextIO
    shown: TextIO

    def say(self, text: str) -> None:
        """Show it, whole, now."""
        self.shown.write(text)
        self.shown.flush()

    def ask(self, question: str) -> str:
        """Show it and return the line that is typed."""
        self.say(question)
        try:
            line = self.terminal.readline()
        except Interrupted:
            self.say("\n")
            raise
        if not line:
            self.say("\n")
            raise EOFError
        return line.strip()


def confirm(dialogue: Dialogue, question: str, default: bool) -> bool:
    """Yes or no."""
    while (line := dialogue.ask(f"{question} [{'Y/n' if default else 'y/N'}] ").lower()) not in (
        "y",
        "yes",
        "n",
        "no",
    ):
        if not line:
            return default
    return line.startswith("y")


def text(dialogue: Dialogue, question: str, default: str, validate: Callable[[str], str | bool]) -> str:
    """A line that `validate` returns True for; otherwise it returns what is wrong."""
    while True:
        line = dialogue.ask(f"{question} [{default}] " if default else f"{question} ") or default
        if (verdict := validate(line)) is True:
            return line
        dialogue.say(f"  {verdict}\n")


def select(dialogue: Dialogue, question: str, choices: Choices, default: str) -> str:
    """One value."""
    numbers = _show(dialogue, question, choices)
    usual = next(number for number, value in numbers.items() if value == default)
    while (line := dialogue.ask(f"Number [{usual}]: ") or usual) not in numbers:
        dialogue.say(f"  one of {', '.join(numbers)}\n")
    return numbers[line]


def checkbox(dialogue: Dialogue, question: str, choices: Choices) -> list[str]:
    """Any number of values."""
    numbers = _show(dialogue, question, choices)
    while not set(words := dialogue.ask("Numbers, with blanks between them [none]: ").split()) <= set(
        numbers
    ):
        dialogue.say(f"  of {', '.join(numbers)}\n")
    return [numbers[word] for word in dict.fromkeys(words)]


def _show(dialogue: Dialogue, question: str, choices: Choices) -> dict[str, str]:
    # Returns the values that can be taken, by their numbers.
    dialogue.say(f"{question}\n")
    for number, (value, title) in enumerate(choices, 1):
        dialogue.say(f"  {'-' if value is None else number}  {title}\n")
    return {str(number): value for number, (value, _) in enumerate(choices, 1) if value is not None}
