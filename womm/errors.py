"""The one kind of error that reaches a user: what happened, then what to do."""

from __future__ import annotations

#: Exit status of womm's own refusals and failures. GNU parallel uses 1-101 (failed jobs) and 255,
#: shells 126-165: this one is told apart from both.
FAILED = 125


class WommError(Exception):
    """Something that the user can act on; cli.main prints it and ends with `exit_code`.

    `message` is one sentence without a final period; `hint`, where there is one, is a command or an
    instruction that leads out.
    """

    def __init__(self, message: str, hint: str = "", exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class CommandFailed(WommError):
    """A program that womm ran ended with another status than 0.

    `argv` is what was run, `status` its exit status (128+n for signal n), `stdout` and `stderr` its
    whole output.
    """

    def __init__(self, argv: list[str], status: int, stdout: bytes, stderr: bytes) -> None:
        last = stderr.decode(errors="replace").strip() or f"exit status {status}"
        super().__init__(f"{argv[0].rpartition('/')[2]} failed: {last}")
        self.argv = argv
        self.status = status
        self.stdout = stdout
        self.stderr = stderr


class Interrupted(BaseException):
    """A signal asked womm to end; raised in the main thread so that every undo step runs.

    A BaseException, as KeyboardInterrupt is: no handler for ordinary errors may swallow it.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
