"""Where womm begins, as a program: a Ctrl-C ends it as it ends others, from the first moment to the last."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run womm; returns the exit status."""
    # Python's own handler would show a traceback of whatever is being imported, or taken down.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from womm import cli  # noqa: PLC0415 - it takes its time

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
