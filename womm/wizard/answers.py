"""What `womm setup` has to know: in which order it is asked, with which choices and defaults (pure)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields

from womm import registries, rights, server
from womm.checks.finding import MISSING, NOTE, OK, Finding
from womm.config import COPIES, LAZY, Project
from womm.prompts import Choice

#: Each answer's flag, in the order of the questions.
FLAGS = {
    "share": "--share",
    "context": "--context",
    "namespace": "--namespace",
    "pull_secret": "--pull-secret",
    "base_image": "--base-image",
    "prefix": "--prefix",
}
#: What --share takes.
SHARES = (LAZY, *COPIES, "none")
NEVER_MIND = "never mind"
#: The parts of a directory's setup that can be changed alone.
SHARE, KUBERNETES, BASE, IMAGE = "share", "kubernetes", "base", "image"
#: What the user says after the shell.
WORKS, AGAIN, LATER_ON, AWAY = "yes", "again", "later", "away"
#: What can be done with what an earlier setup has left.
RESUME, AFRESH = "resume", "afresh"

# What stops every setup if it is missing; the others' absence is told where they are chosen.
_ESSENTIAL = ("kubectl", "perl", "bash", "parallel", "engine", "cluster", "namespace", "rights")


@dataclass(frozen=True)
class Answers:
    """None: not answered yet. `pull_secret` is "" for none, `prefix` where the image needs none."""

    share: str | None = None
    context: str | None = None
    namespace: str | None = None
    pull_secret: str | None = None
    base_image: str | None = None
    prefix: str | None = None

    def over(self, other: Answers) -> Answers:
        """These answers, and where there is none `other`'s."""
        pairs = {
            field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)
        }
        return Answers(**{name: other if own is None else own for name, (own, other) in pairs.items()})

    def lacking(self) -> list[str]:
        """The flags that would give the answers that there aren't."""
        return [flag for name, flag in FLAGS.items() if getattr(self, name) is None]


def of_project(project: Project) -> dict[str, Answers]:
    """A directory's earlier answers, by the part that they belong to."""
    place = Answers(
        context=project.context, namespace=project.namespace, pull_secret=project.pull_secret or ""
    )
    return {
        SHARE: Answers(share=project.share),
        KUBERNETES: place,
        BASE: Answers(base_image=project.base_image, prefix=project.prefix),
    }


def kept(project: Project, changed: Collection[str]) -> Answers:
    """The earlier answers, but for the parts that are to be changed."""
    answers = Answers()
    for part, its in of_project(project).items():
        answers = answers if part in changed else answers.over(its)
    return answers


def parts(project: Project) -> list[Choice]:
    """What is there, and could be changed."""
    secret = f", pull secret {project.pull_secret}" if project.pull_secret else ""
    return [
        Choice(SHARE, "the share", next(c.label for c in shares("") if c.value == project.share)),
        Choice(KUBERNETES, "Kubernetes", f"namespace {project.namespace}, context {project.context}{secret}"),
        Choice(BASE, "base and registry", f"{project.base_image}, {project.prefix or 'no registry'}"),
        Choice(IMAGE, "the image", "open its shell again"),
    ]


def shares(eager_lacks: str, server_lacks: str = "", lazy_lacks: str = "") -> list[Choice]:
    """How pods can see the directory; `eager_lacks` is why shares by copy can't work here, or "".

    `lazy_lacks`: the same of the lazy one.
    """
    copies = "every pod gets a copy before its jobs begin"
    if server_lacks and not eager_lacks:
        copies += f"; {server_lacks}"
    return [
        Choice("lazy", "lazily", "files come when a job opens them", lazy_lacks),
        Choice("eager", "eagerly (no syncback)", copies, eager_lacks),
        Choice("syncback", "eagerly (syncback on completion)", "what jobs change comes back", eager_lacks),
        Choice("none", "not at all", "jobs see an empty directory"),
        Choice(NEVER_MIND, "never mind", "nothing is changed"),
    ]


def recommended(choices: Iterable[Choice], earlier: str | None) -> str:
    """The share to begin with: the earlier one, else the first that works here."""
    possible = [choice.value for choice in choices if not choice.barred]
    return earlier if earlier in possible else possible[0]


def verdicts(lacks: str = "") -> list[Choice]:
    """What there is to say after the shell; `lacks` is why the image can't be used yet, or ""."""
    return [
        Choice(WORKS, "yes", "save the image and push it", lacks),
        Choice(AGAIN, "no, let me back in"),
        Choice(LATER_ON, "no, keep it for later", "`womm setup` goes on with it"),
        Choice(AWAY, "throw it away", "what was installed in the shell is lost"),
    ]


def leftovers(saved: bool, begins: bool = False) -> list[Choice]:
    """What there is to do with what an earlier setup has left: a shell, or (`saved`) an image not pushed.

    `begins`: the command line says what is to be done from the beginning.
    """
    barred = "--run and --dockerfile begin anew" if begins else ""
    return [
        Choice(RESUME, "go on with it", "push its image" if saved else "open its shell again", barred),
        Choice(AFRESH, "begin anew", "what was installed then is lost"),
        Choice(NEVER_MIND, "never mind", "it is kept"),
    ]


def stopping(findings: Iterable[Finding], share: str | None) -> list[Finding]:
    """Those without which there can be no setup (with this share, if it is chosen already)."""
    names = (*_ESSENTIAL, "rsync") if share in COPIES else _ESSENTIAL
    missing = [found for found in findings if found.state == MISSING and found.name in names]
    # Without kubectl nothing is known of the cluster.
    unknown = "cluster" if any(found.name == "kubectl" for found in missing) else ""
    return [found for found in missing if found.name != unknown]


def lacking(findings: Iterable[Finding], share: str | None) -> list[Finding]:
    """What is missing and stops nothing yet: a question may mend it, or another share needs it not."""
    copies = ("rsync", "server") if share is None or share in COPIES else ()
    names = (*_ESSENTIAL, *copies)
    return [found for found in findings if found.name in names and found.state in (MISSING, NOTE)]


def eager_lacks(findings: Iterable[Finding]) -> tuple[str, Sequence[Finding]]:
    """Why a share by copy can't work from here ("" if it can), and what has to be done before it works."""
    states = {found.name: found for found in findings}
    rsync = states.get("rsync")
    why = rsync.text if rsync is not None and rsync.state == MISSING else ""
    waiting = [states[name] for name in ("server", "rights") if name in states and states[name].state != OK]
    # Other things take rights of their own.
    return why, [found for found in waiting if found.name != "rights" or _is_of_shares(found)]


def _is_of_shares(found: Finding) -> bool:
    return found.state == MISSING or any(right in found.text for right in rights.EAGER)


def lazy_lacks(findings: Iterable[Finding]) -> str:
    """Why a lazy share can't work from here; "" if it can, as far as is seen."""
    found = next((found for found in findings if found.name == "server"), None)
    if found is None or found.state != OK:
        return "the servers have to be made first: `womm cluster-setup`"
    return server.WITHOUT_NFS if server.WITHOUT_NFS in found.text else ""


def base_complaint(name: str) -> str:
    """What is wrong with the name of a base image; "" if nothing is seen."""
    return "" if re.fullmatch(r"[A-Za-z0-9][\w./:@-]*", name, re.ASCII) else "for example debian:12"


def secret_complaint(name: str) -> str:
    """What is wrong with the name of a Secret; "" if nothing is, or if there is none."""
    fine = re.fullmatch(r"([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?", name.strip())
    return "" if fine else "small letters, digits, dots and hyphens"


def is_public(name: str) -> bool:
    """Whether an image, or all of a prefix, would go to the engine's default registry: no host is named.

    There all may look.
    """
    return bool(name) and not registries.host(name)
