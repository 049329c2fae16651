"""How pods are to see a directory: over NFS or by copy, as setup is told, or as the cluster can."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Hermetic
from test_answers import PROJECT, WHOLE
from test_decide import ACCOUNT, FLAGS

from womm import config, server
from womm.config import AUTO, COPY, EAGER, LAZY, NFS, SYNCBACK
from womm.engine import Engine
from womm.errors import WommError
from womm.kubectl import Kube
from womm.manifests import Nfs
from womm.server import Server
from womm.shares import probe
from womm.wizard.act import carry_out
from womm.wizard.order import KEEP, Order

KUBE = Kube("team", "dev")
TOLD = Nfs("10.0.0.8", "0" * 32, "/work", "womm-nfs")


def order(directory: Path, share: str, via: str | None) -> Order:
    """A setup that keeps the image that there is."""
    return Order(
        directory=str(directory),
        account=ACCOUNT,
        engine=Engine("docker"),
        answers=replace(WHOLE, share=share),
        kube=KUBE,
        way=KEEP,
        base="",
        tag="",
        flags=replace(FLAGS, via=via),
        earlier=PROJECT,
        share_limit=1,
    )


class Cluster:
    """A cluster in which a directory is set up: whether it has an NFS server, and pods can mount it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.has_nfs = self.works = True
        self.answers = True
        self.tried: list[str] = []

    def find(self, _kube: Kube) -> Server:
        """The file server."""
        if not self.answers:
            raise WommError("no answer")
        return Server("pod", "10.0.0.7", "image", nfs=self.has_nfs)

    def demand(self, _kube: Kube, project: config.Project) -> Nfs:
        """Try it."""
        self.tried.append(project.share)
        if not self.works:
            raise probe.Unusable("no mount.nfs")
        return TOLD


@pytest.fixture
def cluster(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """One in which all works."""
    made = Cluster(hermetic.root / "work")
    made.directory.mkdir()
    monkeypatch.setattr(probe, "demand", made.demand)
    monkeypatch.setattr(server, "find", made.find)
    return made


@pytest.mark.parametrize("share", [EAGER, SYNCBACK])
@pytest.mark.parametrize(
    ("via", "works", "remembered"),
    [
        (NFS, False, (NFS, 0)),
        (COPY, True, (COPY, 0)),
        (AUTO, True, (NFS, 1)),
        (None, True, (NFS, 1)),
        (None, False, (COPY, 1)),
    ],
)
def test_a_share_that_is_sent_is_over_nfs_where_setup_is_told_so_or_finds_that_it_works(
    cluster: Cluster, share: str, via: str | None, works: bool, remembered: tuple[str, int]
) -> None:
    cluster.works = works
    carry_out(order(cluster.directory, share, via), asking=False)
    project = config.load(cluster.directory)
    assert (project.via, len(cluster.tried)) == remembered
    assert project.over_nfs == (project.via == NFS)


@pytest.mark.parametrize(("answers", "has_nfs"), [(False, True), (True, False)])
def test_nothing_is_tried_where_there_is_no_nfs_server_or_nobody_tells(
    cluster: Cluster, answers: bool, has_nfs: bool
) -> None:
    cluster.answers, cluster.has_nfs = answers, has_nfs
    carry_out(order(cluster.directory, SYNCBACK, None), asking=False)
    assert (config.load(cluster.directory).via, cluster.tried) == (COPY, [])


def test_a_lazy_share_is_tried_and_an_empty_directory_is_not(cluster: Cluster) -> None:
    carry_out(order(cluster.directory, LAZY, None), asking=False)
    assert config.load(cluster.directory).over_nfs
    carry_out(order(cluster.directory, "none", None), asking=False)
    assert not config.load(cluster.directory).over_nfs
    assert cluster.tried == [LAZY]
