"""`womm setup`: make the current directory's image, and remember how its jobs run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from womm import config, engine, here, image, prompts, sizes
from womm.checks.finding import OK
from womm.checks.survey import preflight
from womm.commands.arguments import Parser
from womm.config import Project
from womm.errors import Interrupted, WommError
from womm.image import Account
from womm.kubectl import KubeChoice
from womm.output import progress, warn
from womm.runs import sweep
from womm.testbed.make import Recipe
from womm.wizard import answers, ask, decide, notes, turn
from womm.wizard.act import carry_out
from womm.wizard.answers import Answers
from womm.wizard.ask import NeverMind, Scene
from womm.wizard.order import Flags, Order


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser(
        "setup",
        "Make an image for this directory, and remember how its jobs run. What no option says is asked.",
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing: take the defaults, open no shell")
    parser.add_argument(
        "--share",
        choices=answers.SHARES,
        help="how pods see this directory: as it is sent before the jobs begin (eager, the default; syncback:"
        " what jobs change comes back), as it is here, each file when a job opens it (lazy), or not at all"
        " (none)",
    )
    parser.add_argument(
        "--share-via",
        choices=config.VIA,
        help="how pods see a share that is not lazy: all the same files over NFS, or each a copy of its own"
        " (default: auto, which tries NFS)",
    )
    parser.add_argument(
        "--share-limit",
        metavar="SIZE",
        help="how much an eager share may copy (default: 2G); more, and a whole home, is asked about",
    )
    parser.add_argument(
        "--pull-secret",
        metavar="NAME",
        help="the Secret of the namespace's that pulls the image, if one has to",
    )
    parser.add_argument(
        "--base-image",
        metavar="IMAGE",
        help="what the image is built on "
        f"(default: WOMM_BASE_IMAGE, or this machine's own: {here.own_distribution()})",
    )
    parser.add_argument(
        "--dockerfile",
        metavar="FILE",
        type=Path,
        help="build this first, with this directory, and go on from there",
    )
    parser.add_argument(
        "--run",
        metavar="COMMAND",
        action="append",
        default=[],
        help="in place of the shell, a line for it, as root: "
        "--run 'apt-get update && apt-get install -y jq'; what it exports reaches the jobs; may be repeated",
    )
    parser.add_argument(
        "--keep-secret",
        metavar="NAME",
        action="append",
        default=[],
        help="let this exported variable into the image although it looks like a secret; may be repeated",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with what an unfinished setup of this directory has left (with --yes: save and push it)",
    )
    parser.add_argument("--prefix", metavar="REGISTRY/", help="where the image is pushed (remembered)")
    parser.add_argument(
        "--image", metavar="NAME", help="the image's whole name, in place of --prefix and a name of womm's"
    )
    parser.add_argument(
        "--load",
        metavar="COMMAND",
        help="run this with the image's name, in place of a push: --load 'kind load docker-image'",
    )
    parser.add_argument(
        "--engine",
        choices=engine.NAMES,
        help="what builds and pushes the image (remembered; default: the first of them that works)",
    )
    parser.add_argument("--as-root", action="store_true", help="run the jobs as root, if you are root here")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0, also if the user wants nothing to be changed, or keeps his work for later."""
    options, choice = make_parser().understand(arguments, choice)
    flags = _flags(options, choice)
    account = here.account(options.as_root)
    directory = here.check_directory(config.working_directory())
    here.check_writable(Path(directory))
    with turn.taken(directory):
        _set_up(flags, directory, account, choice)
    return 0


def _set_up(flags: Flags, directory: str, account: Account, choice: KubeChoice) -> None:
    earlier = config.earlier(Path(directory))
    usual = _usual(earlier, choice)
    if flags.resume:
        # What is gone on with has its answers.
        noted = notes.read(directory)
        flags = noted.complete(flags)
        usual = noted.answers.over(usual)
        choice = choice.over(KubeChoice(noted.answers.namespace, noted.answers.context, noted.kubeconfig))
    asking = not flags.yes and prompts.can_ask()
    decide.check_flags(flags, directory, usual, asking)
    if reason := config.cannot_remember():
        warn(f"nothing can be remembered for you ({reason})")
        warn("→ womm parallel will need --trust, and the next womm setup --prefix; or set HOME")
    sweep()
    choice = choice.over(earlier.choice) if earlier is not None else choice
    wanted = flags.engine or config.remembered("engine")
    findings = preflight(choice, wanted)
    decide.check_findings(flags, findings, usual, choice, asking)
    if asking:
        for found in findings:
            if found.name == "cluster" and found.state == OK:
                progress(f"womm: {found.text}")
        ask.tell(answers.lacking(findings, flags.given.share))
    builder = replace(engine.find(wanted), load=flags.load)
    scene = Scene(directory, account, builder, findings, earlier, usual, choice)
    try:
        order = decide.by_questions(flags, scene) if asking else decide.by_flags(flags, scene)
    except NeverMind:
        progress("womm: nothing is changed")
        return
    except Interrupted:
        warn("interrupted; nothing is changed")
        raise
    if not reason:
        _remember(order, flags)
    carry_out(order, asking)


def _flags(options: argparse.Namespace, choice: KubeChoice) -> Flags:
    # Raises WommError for what contradicts itself.
    if options.image and options.prefix is not None:
        raise WommError("--image is a whole name: --prefix adds nothing to it", "give one of them")
    prefix = None if options.prefix is None else image.check_prefix(options.prefix)
    if options.image or (options.load and prefix is None):
        prefix = ""
    if options.image:
        image.full_name(options.image, "/")
    said = options.share_limit
    limit = None if said is None else sizes.parse("--share-limit", said)
    return Flags(
        given=Answers(
            options.share,
            choice.context,
            choice.namespace,
            options.pull_secret,
            options.base_image,
            prefix,
        ),
        yes=options.yes,
        resume=options.resume,
        recipe=Recipe(options.dockerfile, options.run, options.keep_secret),
        image=options.image,
        load=engine.load_command(options.load),
        engine=options.engine,
        share_limit=limit,
        via=options.share_via,
    )


def _usual(earlier: Project | None, choice: KubeChoice) -> Answers:
    # The defaults; where the cluster is, kubectl knows.
    base = os.environ.get("WOMM_BASE_IMAGE") or here.own_distribution()
    plain = Answers("eager", choice.context, choice.namespace, "", base, config.remembered("prefix"))
    return answers.kept(earlier, ()).over(plain) if earlier is not None else plain


def _remember(order: Order, flags: Flags) -> None:
    if order.answers.prefix:
        config.remember("prefix", order.answers.prefix)
    if flags.engine:
        config.remember("engine", flags.engine)
