"""The way of an eager share to the file server: through the hub, or by a stream of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import Hermetic

from womm.kubectl import Kube
from womm.runs import Run
from womm.server import Server
from womm.shares import copy
from womm.shares.look import Entry, Look

MUCH = 32 << 20


@pytest.mark.parametrize("size", [MUCH - 1, MUCH])
def test_much_goes_by_a_kubectl_exec_of_its_own_and_what_is_tried_again_through_the_hub_as_plainly_as_can_be(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: int
) -> None:
    run, found = Run(), Server("server-1", "10.0.0.7", "image", nfs=False)
    told: list[tuple[Sequence[str], Sequence[str]]] = []
    calls: list[str] = []

    def send(argv: Sequence[str], tries: Any, *_: object) -> None:
        assert "--compress" not in argv
        assert ("--sparse" in argv) == look.holes
        told.append(tries)

    monkeypatch.setattr(copy, "send", send)
    monkeypatch.setattr(copy, "run", lambda argv, **_: calls.append(argv[-3]))
    look = Look([Entry("-", size, b"a")], size, size, holes=size >= MUCH)
    share = copy.plan(found, tmp_path, look, back=False)
    kube = Kube("team", "dev")
    copy.push(kube, run, found, share, look=look, over_nfs=False, permitted=lambda: None)
    [(first, second)] = told
    assert second == [f"--rsh={' '.join(run.login)}"]
    assert first[1:] == ["--compress", "--compress-level=1"]
    assert ("login-exec.pl" in first[0]) == (size >= MUCH)
    assert calls == ["ready"]
    assert (run.path / "secret").read_text() == f"{share.secret}\n"
    run.forget_all()
    run.close()
