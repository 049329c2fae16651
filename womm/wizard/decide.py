"""From flags and questions to one order: the only place where `--yes` and the wizard differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from womm import here, image
from womm.checks.finding import Finding
from womm.checks.survey import preflight
from womm.config import COPIES, COPY, LAZY
from womm.errors import WommError
from womm.kubectl import Kube, KubeChoice, contexts, resolve
from womm.output import progress, warn
from womm.testbed import kept
from womm.wizard import answers, ask, notes, sharing
from womm.wizard.answers import Answers
from womm.wizard.ask import NeverMind, Scene
from womm.wizard.order import COMMANDS, KEEP, RESUME, SHELL, Flags, Order, is_of


def check_flags(flags: Flags, directory: str, usual: Answers, asking: bool) -> None:
    """Refuse what can be seen to be wrong or missing before anything is looked at. Raises WommError."""
    given = flags.given
    share = given.share or ("" if asking else usual.share)
    if share == LAZY and flags.via == COPY:
        raise WommError("a lazy share is no copy", "leave out --share-via, or --share eager")
    if share in (LAZY, *COPIES) and (why := here.unshareable(directory)):
        raise WommError(f"{directory} can't be shared: {why}", "--share none, or another directory")
    if given.prefix and answers.is_public(given.prefix):
        raise WommError(
            f"--prefix {given.prefix} names no host: the engine's default registry is public",
            "--prefix HOST/…: say the registry's host, even if you mean that one",
        )
    if flags.image and not flags.load and answers.is_public(flags.image):
        raise WommError(
            f"--image {flags.image} names no host: the engine's default registry is public",
            "--image HOST/…: say the registry's host, even if you mean that one; or --load COMMAND",
        )
    if flags.resume and flags.recipe:
        raise WommError(
            "--resume goes on with what is kept, and --run and --dockerfile begin anew", "give one of them"
        )
    if flags.recipe.dockerfile is not None and not flags.recipe.dockerfile.is_file():
        raise WommError(f"there is no file {flags.recipe.dockerfile}", "--dockerfile FILE")
    if asking:
        return
    # A pull secret is asked for only where there are some, and kubectl has its own defaults.
    had = Answers(pull_secret="")
    had = had.over(usual).over(Answers(context="", namespace="")) if flags.yes else had
    lacking = given.over(had).lacking()
    if not (flags.yes or flags.recipe or flags.resume):
        lacking.append("--run")
    if lacking:
        why = "" if flags.yes else "there is no terminal to ask on, and "
        ways = ["--yes takes the defaults"] if not flags.yes else []
        ways += ["--prefix REGISTRY/, --image NAME or --load COMMAND says how the nodes get the image"]
        raise WommError(f"{why}answers are missing: {', '.join(lacking)}", "; ".join(ways))


def check_findings(
    flags: Flags, findings: Sequence[Finding], usual: Answers, choice: KubeChoice, asking: bool
) -> None:
    """Refuse a setup for which something is missing; what a question may still mend is left to it."""
    share = flags.given.share or (None if asking else usual.share)
    mendable: set[str] = set()
    if asking and flags.given.namespace is None:
        mendable |= {"namespace", "rights"}
    if asking and flags.given.context is None and len(contexts(choice.kubeconfig)) > 1:
        mendable |= {"cluster"}
    lacking = [found for found in answers.stopping(findings, share) if found.name not in mendable]
    if len(lacking) == 1:
        raise WommError(lacking[0].text, lacking[0].fix)
    if lacking:
        listed = "".join(f"\n  {found.name}: {found.text}\n  → {found.fix}" for found in lacking)
        raise WommError(f"this is missing for a setup:{listed}", "`womm doctor` looks again")


def by_flags(flags: Flags, scene: Scene) -> Order:
    """Complete the order without a question. Raises WommError."""
    if flags.resume:
        kept.demand(scene.engine, scene.directory)
        flags, scene = _resumed(flags, scene)
    complete = flags.given.over(scene.usual)
    if complete.share == LAZY and (why := answers.lazy_lacks(scene.findings)):
        raise WommError(f"this directory can't be shared lazily: {why}", "--share eager")
    if complete.share in COPIES:
        ask.tell(answers.eager_lacks(scene.findings)[1])
    way = RESUME if flags.resume else COMMANDS
    if scene.earlier is not None and not flags.about_image and is_of(scene.earlier, scene.account):
        way = KEEP
        progress(f"womm: the image is kept ({scene.earlier.image}); --base-image or --run make another")
    if way == COMMANDS:
        _tell_of_loss(flags, scene)
    limit = _limit(flags, scene, complete.share, asking=False)
    order = _order(flags, scene, complete, resolve(scene.choice), way, limit=limit)
    if way != KEEP:
        image.try_push(order.engine, order.tag)
    return order


def by_questions(flags: Flags, scene: Scene) -> Order:
    """Complete the order with the user. Raises NeverMind, and WommError."""
    earlier = scene.earlier
    way = COMMANDS if flags.recipe else SHELL
    left = kept.find(scene.engine, scene.directory)
    afresh = False
    if flags.resume:
        left = kept.demand(scene.engine, scene.directory)
        way = RESUME
    elif left is not None and (left.by == "shell" or (left.image and not flags.recipe)):
        afresh = ask.leftover(not left.container, bool(flags.recipe)) == answers.AFRESH
        way = way if afresh else RESUME
    given = flags.given
    if way == RESUME:
        flags, scene = _resumed(flags, scene)
        given = flags.given.over(notes.read(scene.directory).answers)
    base = None
    if earlier is not None:
        changed = ask.changed(earlier) if way == SHELL else []
        if way == SHELL and not changed and given == Answers() and not flags.about_image:
            raise NeverMind
        given = given.over(answers.kept(earlier, changed))
        if answers.IMAGE in changed:
            base = earlier.image
        elif way == SHELL and not {answers.BASE} & set(changed) and not flags.about_image:
            way = KEEP if is_of(earlier, scene.account) else SHELL
        if way in (SHELL, COMMANDS) and not {answers.BASE, answers.IMAGE} & set(changed):
            _tell_of_loss(flags, scene)
    if flags.recipe.dockerfile is not None:
        given = given.over(Answers(base_image=scene.usual.base_image))
    refused = way == RESUME and not (left is not None and left.container)
    if flags.given.prefix is None and way != KEEP and (refused or not given.prefix):
        # What could not be pushed there may have to go elsewhere; an image that was loaded went nowhere.
        given = replace(given, prefix=None)

    def try_out(prefix: str) -> None:
        if way != KEEP:
            image.try_push(scene.engine, _tag(flags, scene, prefix))

    complete, kube = ask.complete(given, scene, try_out)
    limit = _limit(flags, scene, complete.share, asking=True)
    order = _order(flags, scene, complete, kube, way, limit=limit)
    return replace(order, base=base or order.base, afresh=afresh)


def _tell_of_loss(flags: Flags, scene: Scene) -> None:
    # Nothing says by whose hands the image that there is was made; but who names another base means it.
    earlier = scene.earlier
    if earlier is not None and flags.given.base_image in (None, earlier.base_image):
        warn(f"a new image takes the place of {earlier.image}: what was installed by hand is not in it")
        warn(f"→ --base-image {earlier.image} would build on it")


def _resumed(flags: Flags, scene: Scene) -> tuple[Flags, Scene]:
    # With all that the setup that is gone on with was told.
    noted, choice, earlier = notes.read(scene.directory), scene.choice, scene.earlier
    flags = noted.complete(flags)
    account = here.account(as_root=True) if noted.as_root else scene.account
    scene = replace(scene, account=account, engine=replace(scene.engine, load=flags.load))
    others = (None, noted.kubeconfig, earlier.kubeconfig if earlier is not None else None)
    if choice.kubeconfig in others and choice.kubeconfig != noted.kubeconfig:
        given = flags.given.over(noted.answers)
        choice = KubeChoice(given.namespace, given.context, noted.kubeconfig)
        scene = replace(scene, choice=choice, findings=preflight(choice, scene.engine.name))
    return flags, scene


def _limit(flags: Flags, scene: Scene, share: str | None, asking: bool) -> int:
    if share not in COPIES:
        return sharing.permitted(flags.share_limit, scene.earlier)
    return sharing.agree(Path(scene.directory), flags.share_limit, scene.earlier, asking)


def _order(flags: Flags, scene: Scene, complete: Answers, kube: Kube, way: str, *, limit: int) -> Order:
    return Order(
        directory=scene.directory,
        account=scene.account,
        engine=scene.engine,
        answers=complete,
        kube=kube,
        way=way,
        base=complete.base_image or "",
        tag="" if way == KEEP else _tag(flags, scene, complete.prefix or ""),
        flags=flags,
        earlier=scene.earlier,
        share_limit=limit,
    )


def _tag(flags: Flags, scene: Scene, prefix: str) -> str:
    if not (prefix or flags.image or flags.load):
        # It would go to the engine's default registry.
        raise WommError(
            "nothing says where the image goes", "--prefix REGISTRY/, --image NAME or --load COMMAND"
        )
    return image.full_name(flags.image or f"{prefix}{image.repository(scene.directory)}", scene.directory)
