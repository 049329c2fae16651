"""The questions before the shell, through prompts: each one that no flag has answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from womm import here, image, prompts
from womm.checks.finding import Finding
from womm.checks.survey import place
from womm.config import COPIES, Project
from womm.engine import Engine
from womm.errors import WommError
from womm.image import Account
from womm.kubectl import Kube, KubeChoice, contexts, resolve
from womm.output import progress, warn
from womm.prompts import Choice
from womm.wizard import answers
from womm.wizard.answers import Answers

# No Secret is called so.
_NONE = "-"


class NeverMind(Exception):
    """The user wants nothing to be changed."""


@dataclass(frozen=True)
class Scene:
    """What is known before the first question: `usual` holds the defaults, `choice` where the cluster is."""

    directory: str
    account: Account
    engine: Engine
    findings: Sequence[Finding]
    earlier: Project | None
    usual: Answers
    choice: KubeChoice


def tell(findings: Sequence[Finding]) -> None:
    """Show what is missing, each with its way out."""
    for found in findings:
        warn(f"{found.name}: {found.text}")
        warn(f"→ {found.fix}")


def changed(earlier: Project) -> list[str]:
    """Which parts of an earlier setup shall change."""
    progress(f"womm: {earlier.directory} is set up already ({earlier.image})")
    return prompts.several("What shall change? (nothing marked: all is kept)", answers.parts(earlier))


def leftover(saved: bool, begins: bool) -> str:
    """What to do with what an earlier setup has left; see answers.leftovers. Raises NeverMind."""
    what = "its image is not pushed yet" if saved else "what was installed in its shell is kept"
    progress(f"womm: an earlier setup of this directory was not finished; {what}")
    usual = answers.NEVER_MIND if begins else answers.RESUME
    answer = prompts.select("Go on with it?", answers.leftovers(saved, begins), usual)
    return _or_never_mind(answer)


def complete(given: Answers, scene: Scene, try_out: Callable[[str], None]) -> tuple[Answers, Kube]:
    """Ask for the answers that are not given. `try_out` tries a prefix, and raises WommError.

    Raises NeverMind.
    """
    share = given.share or _share(scene)
    kube, findings = _place(given, scene)
    if share in COPIES and findings is not scene.findings:
        # Of the place that was looked at first it has been told.
        tell(answers.eager_lacks(findings)[1])
    secret = given.pull_secret
    if secret is None:
        secret = _secret(kube, scene.usual.pull_secret or "")
    base = given.base_image or prompts.text(
        "Base image", scene.usual.base_image or "", answers.base_complaint
    )
    prefix = _prefix(given.prefix, scene.usual.prefix or "", try_out)
    made = Answers(share, kube.context, kube.namespace, secret, base, prefix)
    return made, kube


def _or_never_mind(answer: str) -> str:
    if answer == answers.NEVER_MIND:
        raise NeverMind
    return answer


def _share(scene: Scene) -> str:
    lacks, waiting = answers.eager_lacks(scene.findings)
    barred = here.unshareable(scene.directory)
    lazy = barred or answers.lazy_lacks(scene.findings)
    choices = answers.shares(barred or lacks, "the file server has to be made first" if waiting else "", lazy)
    usual = answers.recommended(choices, scene.usual.share)
    return _or_never_mind(prompts.select("How shall pods see this directory?", choices, usual))


def _place(given: Answers, scene: Scene) -> tuple[Kube, Sequence[Finding]]:
    # Asks until the place will do, unless nothing is left to be asked.
    looked_at = usual = resolve(scene.choice)
    while True:
        context = given.context or _context(usual.context, usual.kubeconfig)
        if context != usual.context:
            usual = resolve(KubeChoice(None, context, usual.kubeconfig))
        namespace = given.namespace or prompts.text("Namespace", usual.namespace, _empty)
        kube = replace(usual, namespace=namespace)
        chosen = KubeChoice(kube.namespace, kube.context, kube.kubeconfig)
        findings = scene.findings if kube == looked_at else place(chosen)
        lacking = answers.stopping(findings, None)
        if not lacking:
            return kube, findings
        tell(lacking)
        if given.namespace and (given.context or len(contexts(usual.kubeconfig)) < 2):
            # Nothing was asked, so nothing would change.
            raise WommError("the cluster can't be used so", "another --context or --namespace")


def _context(usual: str, kubeconfig: str | None) -> str:
    names = contexts(kubeconfig)
    if len(names) < 2:
        return usual
    return prompts.select("Kubernetes context", [Choice(name, name) for name in names], usual)


def _empty(line: str) -> str:
    return "" if line.strip() else "a name, please"


def _secret(kube: Kube, usual: str) -> str:
    # Where there are none, there is nothing to choose. Few users may list them: such a one says a name.
    names: list[str] = []
    for kind in ("dockerconfigjson", "dockercfg"):
        selector = f"type=kubernetes.io/{kind}"
        try:
            found = kube.run("get", "secrets", "--field-selector", selector, "--output", "name").text
        except WommError:
            question = "Image pull secret, if the image needs one (its name, or nothing)"
            return prompts.text(question, usual, answers.secret_complaint).strip()
        names += [line.removeprefix("secret/") for line in found.split()]
    if not names:
        return ""
    choices = [Choice(_NONE, "none"), *(Choice(name, name) for name in names)]
    answer = prompts.select("Image pull secret", choices, _NONE)
    return "" if answer == _NONE else answer


def _prefix(given: str | None, usual: str, try_out: Callable[[str], None]) -> str:
    if given is not None:
        try_out(given)
        return given
    while True:
        line = prompts.text("Registry prefix, where the image is pushed", usual, _prefix_complaint)
        prefix = image.check_prefix(line)
        if answers.is_public(prefix) and not prompts.confirm(
            f"{prefix} names no host, and the engine's default registry is public. Push there?"
        ):
            continue
        try:
            try_out(prefix)
        except WommError as refused:
            warn(refused.message)
            warn(f"→ {refused.hint}")
            continue
        return prefix


def _prefix_complaint(line: str) -> str:
    try:
        image.check_prefix(line)
    except WommError as error:
        return f"{error.message}: {error.hint}"
    return ""
