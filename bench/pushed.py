"""womm as it is, but that it writes down what its look at a directory and the push took.

    bench/pushed.py FILE ARGUMENT…

FILE becomes a JSON object of seconds: `look`, before anything is begun; `push`, all that copy.push does, less
what it waits for the cluster's word on the task's pods. The rest is womm's: arguments, output, exit status.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from womm import cli, workers
from womm.shares import copy


class Clock:
    """Adds up the seconds that functions take, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, its time taken."""

        def call(*arguments: Any, **more: Any) -> Any:
            start = time.monotonic()
            try:
                return function(*arguments, **more)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

        return call


def main(into: str, *arguments: str) -> int:
    """Run womm; return its exit status."""
    clock, push = Clock(), copy.push

    def pushed(*given: Any, permitted: Callable[[], object], **more: Any) -> copy.Pushed:
        return push(*given, permitted=clock.timed("permitted", permitted), **more)

    copy.push = clock.timed("push", pushed)
    workers.look_at = clock.timed("look", workers.look_at)
    status = cli.main(list(arguments))
    took = clock.seconds
    Path(into).write_text(json.dumps({"look": took["look"], "push": took["push"] - took["permitted"]}))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
