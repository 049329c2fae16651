"""What a coordinator is told arrives as it was."""

from __future__ import annotations

import dataclasses
import json

import pytest

from womm.config import Project
from womm.errors import WommError
from womm.manifests import Share
from womm.tasks.order import Order, load
from womm.values import Workers

PROJECT = Project(
    directory="/home/ann/work",
    share="eager",
    image="registry.example.com/team/work@sha256:cd",
    arch="amd64",
    base_image="debian",
    prefix="registry.example.com/team/",
    namespace="team",
    context="east",
    kubeconfig=None,
    uid=1001,
    gid=1002,
    user="ann",
    home="/home/ann",
)
ORDER = Order(
    task="abcdefgh",
    directory="/home/ann/work/sub",
    shell="/bin/bash",
    project=PROJECT,
    workers=Workers(
        command=("parallel", "--", "wc"), pods=3, node_selector={"disk": "ssd"}, tolerations=("gpu",)
    ),
    share=Share("10.0.0.7", "server:1", "s3cret", "/home/ann/work", "300Mi", back=True),
    key="0123",
    theirs=("--tag", "-k"),
    command=("wc", "-l", "{}", ":::", "na\udcefve", "a\nb"),
    rerun="",
    grouped=True,
    pinned=False,
    cpu_limit="",
    repeatable=True,
    stdin=False,
    files=0,
    environment={"LANG": "C.UTF-8"},
)


def test_an_order_is_read_as_it_was_written() -> None:
    assert load(ORDER.dump()) == ORDER
    without = dataclasses.replace(ORDER, share=None, key="", workers=Workers(pods=1))
    assert load(without.dump()) == without


@pytest.mark.parametrize(
    "written",
    [b"", b"[]", b"{}", b"\xff", json.dumps({**json.loads(ORDER.dump()), "more": 1}).encode()],
)
def test_what_another_version_has_written_is_refused(written: bytes) -> None:
    with pytest.raises(WommError, match="order can't be read"):
        load(written)
