"""The shell in which the user makes it work, and what is asked after it."""

from __future__ import annotations

from collections.abc import Sequence

from womm import prompts
from womm.errors import Interrupted, WommError
from womm.output import progress, warn
from womm.prompts import Choice
from womm.testbed import kept, make
from womm.testbed.bed import Bed
from womm.wizard import answers
from womm.wizard.order import RESUME, Order

_KEPT = "what was installed is kept: `womm setup` goes on with it"


def until_it_works(order: Order, nodes: Sequence[str]) -> bool:
    """Let the user in until he says that it works, and make the order's image. False: there is none.

    Whatever ends it, the container is kept, unless he throws it away.
    """
    bed = _bed(order, nodes)
    # What an image of ours has was let in when it was made.
    known = bed.changes() if order.way != RESUME else {}
    try:
        while True:
            bed.shell()
            lacks = _see_to_perl(bed)
            usual = answers.AGAIN if lacks else answers.WORKS
            verdict = prompts.select("Does it work?", answers.verdicts(lacks), usual)
            if verdict != answers.AGAIN:
                break
        if verdict == answers.AWAY:
            bed.discard()
            progress("womm: thrown away; nothing is changed")
            return False
        if verdict == answers.LATER_ON:
            progress(f"womm: {_KEPT}")
            return False
        # Another terminal's shell would save its variables after they have been looked at.
        bed.close()
        secrets = [name for name in bed.likely_secrets(known) if name not in order.flags.recipe.secrets]
        if secrets:
            chosen = _which(secrets)
            bed.forget([name for name in secrets if name not in chosen])
        bed.save(order.tag)
    except Interrupted:
        warn(_KEPT)
        raise
    except WommError as failure:
        # The engine may have died under it.
        raise WommError(failure.message, f"{failure.hint}; {_KEPT}" if failure.hint else _KEPT) from failure
    return True


def _bed(order: Order, nodes: Sequence[str]) -> Bed:
    if order.way == RESUME:
        return kept.resume(order.engine, order.account, order.directory)
    kept.make_room(order.engine, order.directory)
    progress(f"womm: getting {order.base} ready")
    return make.open_on(order.engine, order.base, order.account, order.directory, by="shell", nodes=nodes)


def _which(secrets: list[str]) -> list[str]:
    progress("womm: these look like secrets, and whoever may pull the image could read them")
    choices = [Choice(name, name) for name in secrets]
    return prompts.several("Which of them shall be in the image? (nothing marked: none)", choices)


def _see_to_perl(bed: Bed) -> str:
    # Returns what jobs lack; "" if they have all.
    if bed.has("perl"):
        return ""
    progress("womm: perl is gone, and womm's jobs need it")
    if prompts.confirm("Install it?", default=True):
        try:
            bed.install("perl")
        except WommError as failure:
            warn(failure.message)
            warn(f"→ {failure.hint}")
        else:
            return ""
    return "jobs need perl"
