"""A text that stands on the terminal, and is shown anew again and again, until a signal comes."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn

from womm import signals
from womm.errors import WommError
from womm.trust import shown

# Seconds from one look to the next; between two glances at whether a signal has come.
_PAUSE, _GLANCE = 2.0, 0.2


def demand_terminal() -> None:
    """See whether there is a terminal that can be drawn on. Raises WommError."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") in ("", "dumb", "unknown"):
        raise WommError(
            "--watch needs a terminal that can be drawn on", "call `womm status` again and again instead"
        )


def watch(first: str, again: Callable[[], str]) -> NoReturn:
    """Show `first`, and then what `again` returns, every 2 s. Where that fails, the last text stays, and why.

    Ends by a signal's Interrupted alone; the last text then stays on the terminal.
    """
    from rich.console import Console  # noqa: PLC0415 - 0.1 s, which a single look can do without
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    def drawn(text: str) -> Text:
        return Text(text.removesuffix("\n"), no_wrap=True, overflow="crop")

    console = Console(force_terminal=True, highlight=False)
    with Live(drawn(first), console=console, auto_refresh=False) as live:
        live.refresh()
        text = first
        while True:
            _wait(_PAUSE)
            try:
                text = again()
                live.update(drawn(text), refresh=True)
            except WommError as error:
                live.update(drawn(f"{text}womm: {shown(error.message)}"), refresh=True)


def _wait(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        signals.check()
        time.sleep(_GLANCE)
