"""Bases for images, as Dockerfiles."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

#: The program of that name; the Dockerfiles want it in their context, as `busybox`.
BUSYBOX = Path(shutil.which("busybox") or "")
#: perl and a busybox, nothing else: neither a package manager nor bash, and a /tmp that is root's alone.
MINIMAL = f"""\
FROM {os.environ.get("WOMM_BASE_IMAGE", "")} AS whole
RUN mkdir -p /small/bin /small/tmp /small/usr/bin /small/usr/lib && cd /small \\
 && cp --parents $(perl -e 'print $^X') /lib64/ld-linux-*.so.2 $(ldd /usr/bin/perl | grep -o '/lib[^ ]*') . \\
 && cp -r --parents /usr/lib/*-linux-gnu/perl-base .
COPY busybox /small/bin/busybox
RUN for name in $(/small/bin/busybox --list | grep -vx busybox); do ln -sf busybox /small/bin/$name; done
FROM scratch
COPY --from=whole /small/ /
"""
