"""The Python packages that `womm parallel` imports, copied from here into the file server's image.

The coordinator is this womm there: it has the versions that it has here, and the build asks no package index.
"""

from __future__ import annotations

import shutil
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

#: Their distributions, and the modules of those. psutil is compiled: the image has its distribution's own.
NEEDED = {"sh": "sh", "Jinja2": "jinja2", "MarkupSafe": "markupsafe", "websockets": "websockets"}

# What pip notes for itself. The URL may hold somebody's password.
_PIPS = frozenset({"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"})


def copy(to: Path) -> None:
    """Copy their sources to the directory `to`, and what is said of them and of womm: versions, licences.

    Compiled parts are left out: they are of this machine, and both that have one do without.
    """
    to.mkdir()
    for module in NEEDED.values():
        _copy_module(module, to)
    for distribution in ("womm", *NEEDED):
        _copy_metadata(distribution, to)


def _copy_module(module: str, to: Path) -> None:
    # By the way that the import takes, because not every installation lists its files: Debian's do not. A
    # module that was imported is no guide to it: sh puts something else in its place.
    spec = PathFinder.find_spec(module)
    assert spec is not None, module
    assert spec.origin is not None, module
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None:
        shutil.copy(origin, to)
    else:
        shutil.copytree(origin.parent, to / module, ignore=_no_source)


def _no_source(directory: str, names: list[str]) -> list[str]:
    return [
        name
        for name in names
        if name == "__pycache__" or not (name.endswith(".py") or Path(directory, name).is_dir())
    ]


def _copy_metadata(distribution: str, to: Path) -> None:
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        # A checkout of womm that nobody installed.
        return
    said = to / f"{found.metadata['Name']}-{found.version}.dist-info"
    said.mkdir()
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    (said / "METADATA").write_text(text, encoding="utf-8")
    for file in found.files or ():
        directory, *inside = file.parts
        if directory.endswith(".dist-info") and inside and inside[0] not in (*_PIPS, "METADATA"):
            target = said.joinpath(*inside)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)
