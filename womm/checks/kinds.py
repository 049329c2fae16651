"""Which kinds of share would work, from what the other checks have found (pure)."""

from __future__ import annotations

from collections.abc import Iterable

from womm import rights
from womm.checks.finding import NOTE, OK, UNKNOWN, Finding


def shares(findings: Iterable[Finding], unshareable: str) -> Finding:
    """The kinds that would work here; `unshareable` is why this directory can't be shared, or ""."""
    known = {finding.name: finding for finding in findings}
    server, cluster, allowed = known.get("server"), known["cluster"], known.get("rights")
    if unshareable:
        return _none(unshareable, "work in another directory, or --share none")
    if known["rsync"].state != OK:
        return _none("rsync does not work here", known["rsync"].fix)
    if server is None:
        return Finding("shares", UNKNOWN, "the cluster tells nothing of its file server", cluster.fix)
    if server.state != OK:
        return _none("the file server is not there", server.fix)
    lacking = [right for right in sorted(rights.EAGER) if allowed is not None and right in allowed.text]
    if allowed is not None and lacking:
        return _none(f"you may not {', '.join(lacking)}", allowed.fix)
    return Finding("shares", OK, "eager, syncback, none")


def _none(why: str, fix: str) -> Finding:
    return Finding("shares", NOTE, f"none only: {why}", fix)
