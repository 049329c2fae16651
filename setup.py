"""Build womm. Everything is said in pyproject.toml, but for two things that it can't say.

GNU parallel is GPL-3 and not in the repository: `make vendor` puts it there. A package without it
would install and then fail at its first use, so it isn't built.

What bash's completion needs is installed where bash-completion looks for it, share/bash-completion
below the prefix. It is what `womm completion bash` prints, so that the first TAB waits for no Python.
"""

import sys
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).resolve().parent
VENDOR = ROOT / "womm" / "vendor"
NEEDED = ("parallel", "options.json", "parallel.json", "COPYING.parallel", "COPYRIGHT.parallel")

if not all((VENDOR / name).is_file() for name in NEEDED):
    # One line, and pip shows it: a traceback would bury it.
    sys.exit("womm: GNU parallel is not in womm/vendor: run 'make vendor' first")

sys.path.insert(0, str(ROOT))
from womm.commands import completion  # noqa: E402 - the checkout is no place that a build imports from

# setuptools installs a file under its own name.
SCRIPT = Path("build", "bash-completion", "womm")
SCRIPT.parent.mkdir(parents=True, exist_ok=True)
SCRIPT.write_text(completion.script(), encoding="utf-8")

setup(data_files=[("share/bash-completion/completions", [str(SCRIPT)])])
