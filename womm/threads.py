"""Programs that are run side by side, each in a thread of its own; a signal ends what they began."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Any, TypeVar

from womm import signals
from womm.ending import end_all

T = TypeVar("T")

# Seconds for what one that was ended takes back: a check the image that it has tried to push.
_TIDYING = 1.0


class Pool:
    """Threads, as many as there are things to ask or to do.

    Unlike those of an executor they don't hold up the interpreter's end: a connection that gets no answer
    can't be ended.
    """

    def __init__(self) -> None:
        self._asked: list[Future[Any]] = []

    def submit(self, ask: Callable[..., T], *arguments: object) -> Future[T]:
        """Have `ask` called in another thread."""
        future = beside(ask, *arguments)
        self._asked.append(future)
        return future

    def __enter__(self) -> Pool:
        """Nothing is asked yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """All is answered; or, after an exception, nobody wants to know any more."""
        if kind is not None:
            _end_children()
            # Some had just begun with something else.
            if wait(self._asked, _TIDYING).not_done:
                _end_children()


def beside(ask: Callable[..., T], *arguments: object) -> Future[T]:
    """Have `ask` called in another thread, which nobody has to wait for."""
    signals.check()
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(ask(*arguments))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, name="beside", daemon=True).start()
    return future


def answer(future: Future[T]) -> T:
    """What `future` holds, once it does. A wait of the main thread's looks for signals."""
    while not future.done():
        wait([future], 0.1)
        signals.check()
    return future.result()


def _end_children() -> None:
    import psutil  # noqa: PLC0415 - only on the way out

    end_all(psutil.Process().children(recursive=True))
