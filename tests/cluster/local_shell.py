"""The part of the wizard that comes before its last questions: the local shell for the current directory.

    local_shell.py ENGINE BASE

Ends with the shell's status; its container is kept, for `womm setup --yes --resume`.
"""

from __future__ import annotations

import os
import sys

from womm import here
from womm.engine import Engine
from womm.errors import Interrupted
from womm.signals import as_exceptions
from womm.testbed.make import open_on


def main(engine: str, base: str) -> int:
    """See above."""
    try:
        with as_exceptions():
            return open_on(Engine(engine), base, here.account(False), os.getcwd(), by="shell").shell()
    except Interrupted as interrupted:
        return 128 + interrupted.signum


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
