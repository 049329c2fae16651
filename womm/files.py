"""Where the package's own files are."""

from pathlib import Path

PACKAGE = Path(__file__).parent
SCRIPTS = PACKAGE / "scripts"
TEMPLATES = PACKAGE / "templates"
PARALLEL = PACKAGE / "vendor" / "parallel"
PARALLEL_OPTIONS = PACKAGE / "vendor" / "options.json"
