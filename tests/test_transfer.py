"""A transfer to its end: what is told meanwhile, a stall that ends, a second try. The rsync is real."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect
import pytest
from conftest import Hermetic

from womm import output
from womm.errors import CommandFailed
from womm.shares import look, transfer
from womm.shares.look import Entry, Look, look_at
from womm.shares.transfer import Meter

pytestmark = pytest.mark.usefixtures("hermetic")

#: An ssh that runs the command here; $1 is which of two ways it is, $2 the host.
NEAR = 'shift 2; exec "$@"'
#: One whose partner is stopped in the middle, as a node that hangs.
STALLED = "shift 2; \"$@\" & p=$!; kill -STOP $p; trap 'kill -KILL $p' EXIT; trap exit TERM; wait"
#: One that is cut after 300 kB.
PASS = "while ($n < 300000 and $got = sysread STDIN, $b, 4096) { syswrite STDOUT, $b; $n += $got }"
CUT = f"shift 2; perl -e '{PASS}' | \"$@\""

#: One that has passed 300 kB when it removes the file put for %s. rsync may end before its stdin does.
REST = "while ($got = sysread STDIN, $b, 4096) { syswrite STDOUT, $b }"
REMOVES = f"shift 2; \"$@\" < <(perl -e '{PASS} unlink q(%s); {REST}')"


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory to be sent: 1 MB."""
    directory = tmp_path / "here"
    (directory / "sub").mkdir(parents=True)
    (directory / "large").write_bytes(os.urandom(900_000))
    for number in range(10):
        (directory / "sub" / f"{number}").write_bytes(os.urandom(10_000))
    return directory


def ssh(hermetic: Hermetic, *tries: str) -> str:
    """Make an ssh that does for each call what the next of `tries` says; the last one for all others."""
    cases = "".join(f"{number}) {how} ;;\n" for number, how in enumerate(tries[:-1], 1))
    count = hermetic.root / "calls"
    script = f"#!/bin/bash\necho $1 >>{count}\ncase $(wc -l <{count}) in\n{cases}*) {tries[-1]} ;;\nesac\n"
    return str(hermetic.stub("an-ssh", script))


def calls(hermetic: Hermetic) -> list[str]:
    """By which way each try went."""
    return (hermetic.root / "calls").read_text().split()


def tries(rsh: str) -> tuple[list[str], list[str]]:
    return [f"--rsh={rsh} first"], [f"--rsh={rsh} second"]


def send(here: Path, target: Path, rsh: str, silence: int = 20) -> None:
    argv = ["--archive", "--delete", "--delete-excluded", "./", f"host:{target}/"]
    transfer.send(argv, tries(rsh), here, {}, look_at(here), silence=silence)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }


def test_a_transfer_brings_all(
    hermetic: Hermetic, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    send(here, tmp_path / "there", ssh(hermetic, NEAR))
    assert contents(tmp_path / "there") == contents(here)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "trouble",
    [STALLED, CUT, "exit 255", "exit 137", 'shift 2; "$@"; exit 1'],
    ids=["stalled", "cut", "not reached", "killed there", "kubectl's own failure"],
)
def test_a_transfer_that_stalls_or_is_cut_is_tried_once_more(
    hermetic: Hermetic, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], trouble: str
) -> None:
    send(here, tmp_path / "there", ssh(hermetic, trouble, NEAR), silence=2)
    assert calls(hermetic) == ["first", "second"]
    assert contents(tmp_path / "there") == contents(here)
    assert capfd.readouterr().err.startswith("womm: the copy was cut, and is tried once more (rsync failed: ")


def test_of_a_file_that_vanishes_nothing_older_is_left_there(
    hermetic: Hermetic, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "there" / "sub" / "9"
    old.parent.mkdir(parents=True)
    old.write_text("of the last run")
    # It is listed by then, and its turn comes after the large file's.
    send(here, tmp_path / "there", ssh(hermetic, REMOVES % (here / "sub" / "9"), NEAR))
    assert not (here / "sub" / "9").exists()
    assert contents(tmp_path / "there") == contents(here)
    assert calls(hermetic) == ["first", "second"]
    assert capfd.readouterr() == ("", "")


def test_what_vanishes_again_is_not_waited_for(hermetic: Hermetic, here: Path, tmp_path: Path) -> None:
    send(here, tmp_path / "there", ssh(hermetic, 'shift 2; "$@"; exit 24'))
    assert calls(hermetic) == ["first", "second"]


def test_a_transfer_that_stalls_twice_ends_with_an_error(
    hermetic: Hermetic, here: Path, tmp_path: Path
) -> None:
    # Without the time limit this would wait for ever.
    with pytest.raises(CommandFailed) as caught:
        send(here, tmp_path / "there", ssh(hermetic, STALLED), silence=2)
    assert caught.value.status == 30
    assert calls(hermetic) == ["first", "second"]


def test_what_trying_again_cannot_mend_is_not_tried_again(
    hermetic: Hermetic, here: Path, tmp_path: Path
) -> None:
    with pytest.raises(CommandFailed):
        send(here, tmp_path / "there" / "too" / "deep", ssh(hermetic, NEAR))
    assert calls(hermetic) == ["first"]


def test_what_a_first_try_has_left_there_is_gone_though_it_is_ignored(
    hermetic: Hermetic, here: Path, tmp_path: Path
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    (there / ".large.AbCdEf").write_text("half")
    rsh = ssh(hermetic, NEAR)
    argv = ["--archive", "--delete", "--delete-excluded", "--filter=- .*", "./", f"x:{there}/"]
    transfer.send(argv, tries(rsh), here, {}, look_at(here))
    assert contents(there) == contents(here)


def test_large_files_are_named_before_they_are_sent(
    hermetic: Hermetic,
    here: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(look, "LARGE", 800_000)
    (here / "large").rename(here / "large\x1b[m\n")
    # The connection goes before it could be sent whole.
    rsh = ssh(hermetic, CUT, NEAR)
    send(here, tmp_path / "there", rsh, silence=2)
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 3, told
    first, second, third = told
    assert first == third == "womm: a large file: large\\x1b[m\\n (900 kB)"
    assert second.startswith("womm: the copy was cut")
    # What is there already is not sent, and not named.
    send(here, tmp_path / "there", rsh)
    assert capfd.readouterr().err == ""


LOOK = Look([Entry("-", 1000, b"a")] * 9, size=9000, room=0)


@pytest.mark.parametrize(("files", "line"), [(2, "4.5 kB, 50 %"), (1, "4.5 kB, 30 %")])
def test_a_meter_tells_bytes_and_percent_of_bytes_or_where_only_changes_go_of_files(
    files: int, line: str
) -> None:
    meter = Meter(LOOK)
    said = b":a\n\r           4500   5%%    1.2MB/s    0:00:10 (xfr#%d, ir-chk=6/9)" % files
    for place in range(len(said)):
        # It may come in any pieces.
        assert meter.hear(said[place : place + 1]) == []
    assert meter.line == f"womm: copying to the file server: {line}"


def test_a_meter_is_not_taken_in_by_names() -> None:
    name = b" 4500   5%    1.2MB/s    0:00:10 (xfr#1, ir-chk=6/9)"
    meter = Meter(Look([Entry("-", 600_000_000, name), Entry("-", 700_000_000, b"a\nb")], 0, 0))
    said = b":" + name + b"\n:other\n:a\\#012b\n"
    heard = [found for place in range(len(said)) for found in meter.hear(said[place : place + 1])]
    assert heard == [(name, 600_000_000), (b"a\nb", 700_000_000)]
    assert meter.line == ""


PROGRAM = """
import sys
from pathlib import Path
from womm import output
from womm.shares import look, transfer
from womm.shares.look import look_at
if sys.argv[4:]: output.be_quiet()
here = Path(sys.argv[1])
argv = ["--archive", "--bwlimit=2M", "./", f"host:{sys.argv[2]}/"]
tries = ([f"--rsh={sys.argv[3]} first"], [f"--rsh={sys.argv[3]} second"])
transfer.send(argv, tries, here, {}, look_at(here))
output.progress("done")
"""


def test_on_a_terminal_one_line_is_rewritten_and_gone_at_the_end(
    hermetic: Hermetic, here: Path, tmp_path: Path
) -> None:
    argv = ["-c", PROGRAM, str(here), str(tmp_path / "there"), ssh(hermetic, NEAR)]
    child = pexpect.spawn(sys.executable, argv, dimensions=(5, 60), encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    *before, last = (child.before or "").split("\r\n")
    assert last == ""
    (line,) = before
    assert "\rwomm: copying to the file server: 1.0 MB, 100 %\r" in line
    # Blanks take it back; what stands there at the end is the next message alone.
    assert line.endswith(" \rdone")
    assert max(len(piece) for piece in line.split("\r")) < 60


def test_quiet_means_no_line_either(hermetic: Hermetic, here: Path, tmp_path: Path) -> None:
    argv = ["-c", PROGRAM, str(here), str(tmp_path / "there"), ssh(hermetic, NEAR), "quiet"]
    child = pexpect.spawn(sys.executable, argv, encoding="utf-8", timeout=60)
    child.expect(pexpect.EOF)
    assert child.before == ""


def test_a_message_takes_the_standing_line_back_first(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    monkeypatch.setattr(output, "shows_status", lambda: True)
    monkeypatch.setattr(os, "get_terminal_size", lambda _fd: os.terminal_size((20, 5)))
    monkeypatch.setattr(os, "write", lambda _fd, text: written.append(text))
    for line in ("a long line that would be wrapped", "short", "short"):
        output.status(line)
    output.warn("trouble")
    output.status("")
    # Nothing is written anew, and nothing of a longer line is left.
    assert written == [b"\ra long line that wo", b"\rshort              ", b"\r     \rwomm: trouble\n"]
