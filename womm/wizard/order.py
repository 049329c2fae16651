"""What a setup is told, and what it shall do."""

from __future__ import annotations

from dataclasses import dataclass

from womm.config import AUTO, COPIES, COPY, LAZY, Project
from womm.engine import Engine
from womm.image import Account
from womm.kubectl import Kube
from womm.testbed.make import Recipe
from womm.wizard.answers import Answers

#: Where the image comes from: the user's shell, no shell (--run, --dockerfile, the plain base), what an
#: earlier setup has left, the image that there is.
SHELL, COMMANDS, RESUME, KEEP = "shell", "commands", "resume", "keep"


@dataclass(frozen=True)
class Flags:
    """What the command line says. `image` is a whole name, in place of a prefix."""

    given: Answers
    yes: bool
    resume: bool
    recipe: Recipe
    image: str | None
    load: tuple[str, ...]
    engine: str | None
    #: Bytes that may be shared; None: nothing is said.
    share_limit: int | None
    #: How pods see a share that is sent, one of config.VIA; None: nothing is said.
    via: str | None = None

    @property
    def about_image(self) -> bool:
        """Whether they ask for another image than the one that there is."""
        said = (self.given.base_image, self.given.prefix, self.image, self.engine)
        return self.resume or bool(self.recipe or self.load) or any(value is not None for value in said)


@dataclass(frozen=True)
class Order:
    """One setup, decided. `base` is what the image is made of; `answers` remember the first of all bases."""

    directory: str
    account: Account
    engine: Engine
    answers: Answers
    kube: Kube
    way: str
    base: str
    tag: str
    flags: Flags
    earlier: Project | None
    share_limit: int
    #: Whether what an earlier setup has left is thrown away first.
    afresh: bool = False

    @property
    def via(self) -> str:
        """How pods are to see the directory: NFS, COPY, or AUTO: what works."""
        # Of a lazy share there is no other way than NFS, but it is tried before it is remembered.
        return self.flags.via or AUTO if self.answers.share in (LAZY, *COPIES) else COPY

    def project(self, image: str, arch: str) -> Project:
        """What is to be remembered of it, with `via` undecided."""
        account, answers = self.account, self.answers
        assert answers.share is not None
        return Project(
            directory=self.directory,
            share=answers.share,
            image=image,
            arch=arch,
            base_image=answers.base_image or "",
            prefix=answers.prefix or "",
            namespace=self.kube.namespace,
            context=self.kube.context,
            kubeconfig=self.kube.kubeconfig,
            uid=account.uid,
            gid=account.gid,
            user=account.user,
            home=account.home,
            pull_secret=answers.pull_secret or None,
            share_limit=self.share_limit,
        )


def is_of(project: Project, account: Account) -> bool:
    """Whether a directory's image was made for this account."""
    return (project.uid, project.gid, project.user, project.home) == (
        account.uid,
        account.gid,
        account.user,
        account.home,
    )
