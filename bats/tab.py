"""Type at a real bash in a real pseudo-terminal, and tell what came of it.

    python bats/tab.py RCFILE TEXT

TEXT is typed at the prompt of an interactive bash with RCFILE, which sets PS1 to `> `; `<TAB>` in it is
the key. Prints the line as readline has it when every key was answered, ended by `|`; how many
milliseconds that took; and what else the terminal then showed: neither the prompt nor that line.
"""

import sys
import time

import pexpect

# A key of ours, which has bash show its line between two characters that nothing else prints.
KEY = "\x18d"
SHOW = r"""bind -x '"\C-xd": printf "\001%s|\002" "$READLINE_LINE"'"""


def main(rcfile: str, text: str) -> None:
    """Type `text`; print what came of it."""
    # Wide: no line is to be folded.
    bash = pexpect.spawn(
        "bash",
        ["--noprofile", "--rcfile", rcfile, "-i"],
        encoding="utf-8",
        dimensions=(60, 500),
        timeout=20,
    )
    bash.delaybeforesend = None
    bash.expect_exact("> ")
    bash.sendline(SHOW)
    bash.expect_exact("\n> ")
    start = time.monotonic()
    bash.send(text.replace("<TAB>", "\t") + KEY)
    bash.expect("\x01([^\x02]*)\x02")
    took = time.monotonic() - start
    line = bash.match[1]
    shown = [part.strip().removeprefix("> ") for part in bash.before.replace("\x07", "").splitlines()]
    print(line)
    print(round(took * 1000))
    for part in shown:
        # The line is shown as it is typed, and again below a list of words.
        if part.rstrip(">") and not line.startswith(part.rstrip()):
            print(part.strip())
    bash.close(force=True)


main(*sys.argv[1:])
