"""Build womm. Everything is said in pyproject.toml, but for one thing that it can't say.

GNU parallel is GPL-3 and not in the repository: `make vendor` puts it there. A package without it
would install and then fail at its first use, so it isn't built.
"""

import sys
from pathlib import Path

from setuptools import setup

VENDOR = Path(__file__).resolve().parent / "womm" / "vendor"
NEEDED = ("parallel", "options.json", "parallel.json", "COPYING.parallel", "COPYRIGHT.parallel")

if not all((VENDOR / name).is_file() for name in NEEDED):
    # One line, and pip shows it: a traceback would bury it.
    sys.exit("womm: GNU parallel is not in womm/vendor: run 'make vendor' first")

setup()
