"""Arguments, commands, options and directories of any kind: as GNU parallel does it on this machine."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kit import Done, Place

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("clean")]

T = TypeVar("T")
Local = Callable[..., Done]

SPECIAL = [
    *(bytes([byte]) for byte in range(1, 256)),
    b"---", b"--", b"-n", b"$ID", b"${HOME}", b"$(id)", b"`id`", b"{{ }}", b"{}", b"{1}", b"{#}", b"{%}",
    b"\\d+", b"\\n", b"\\\\", b'"', b"'", b"''", b" ", b"  ", b"\t", b"\n", b"\n\n", b"\r\n", b"*", b"?",
    b"~", b"#", b"!", b"!!", b"&", b"|", b";", b"<", b">", b"%", b"%s", b"^", b"=", b":::", b"\xff\xfe",
    b"\xc3", "é".encode(), "☃".encode(), "日本".encode(), "\u202e".encode(), b"\x1b[31m", b"A", b"0", b"@",
    b"$$",
]  # fmt: skip


def examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """Let hypothesis generate `count` examples, to be run in one go."""
    found: list[T] = []

    @settings(
        max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def gather(example: T) -> None:
        found.append(example)

    gather()
    random.shuffle(found)
    return found


def words(most: int = 6) -> st.SearchStrategy[bytes]:
    """Bytes that programs like to trip over; no NUL, which no argument can hold."""
    return st.lists(st.sampled_from(SPECIAL), min_size=1, max_size=most).map(b"".join)


def single(text: bytes) -> bytes:
    """Quoted for a shell in single quotes."""
    return b"'" + text.replace(b"'", b"'\\''") + b"'"


def double(text: bytes) -> bytes:
    """Quoted for a shell in double quotes."""
    for character in (b"\\", b'"', b"$", b"`"):
        text = text.replace(character, b"\\" + character)
    return b'"' + text + b'"'


def commands() -> st.SearchStrategy[bytes]:
    """Shell commands with odd words in them, none of which does anything but print."""
    quoted = st.tuples(st.sampled_from([single, double]), words()).map(lambda pair: pair[0](pair[1]))
    patterns = [
        b"printf '%%s\\n' %s",
        b"printf '%%s' %s | od -c",
        b"X=%s; printf '%%s\\n' \"$X\"",
        b"printf '%%s\\n' %s | grep -c '\\d+\\|a'",
        b"echo one; sh -c 'printf %%s \"$1\"' --- %s",
        b"printf '%%s\\n' %s >&2; exit 3",
    ]
    return st.tuples(st.sampled_from(patterns), quoted).map(lambda pair: pair[0] % pair[1])


def agree(place: Place, local_parallel: Local, arguments: Sequence[str | bytes], **more: object) -> Done:
    """Run GNU parallel with `arguments` here and in pods; both have to do the same."""
    local = local_parallel(*arguments, cwd=place.path, **more)
    done = place.parallel("--quiet", *arguments, **more)
    assert done.out == local.out
    assert sorted(done.err.splitlines()) == sorted(local.err.splitlines())
    assert done.status == local.status
    return done


def test_arguments_of_any_bytes_arrive_as_they_are(none: Place, local_parallel: Local) -> None:
    items = [*SPECIAL, *examples(words(12), 200)]
    stdin = b"".join(item + b"\0" for item in items)
    # Ten to a job: each job costs a while.
    done = agree(none, local_parallel, ["-0", "-k", "-j4", "-n10", "--", "printf '%s\\0'", "{}"], stdin=stdin)
    assert done.out == stdin


def test_arguments_become_words_of_the_command_anywhere(none: Place, local_parallel: Local) -> None:
    items = examples(words(), 30)
    stdin = b"".join(item + b"\0" for item in items)
    command = "printf '%s|' {#} {} --x={}; printf '%s\\0' {} | wc -c"
    agree(none, local_parallel, ["-0", "-k", "-j4", "--tag", "--", command], stdin=stdin)


def test_commands_of_any_bytes_run_as_they_do_here(none: Place, local_parallel: Local) -> None:
    stdin = b"".join(item + b"\0" for item in examples(commands(), 50))
    agree(none, local_parallel, ["-0", "-k", "-j4", "--"], stdin=stdin)


COMMANDS: list[tuple[str, list[str | bytes]]] = [
    ("quoted by -q", ["-q", "--", "printf", "<%s>\n", 'a  "b" $ID `id` \\d+', "---", "{{ }}", "{}",
                      ":::", "x  y"]),
    ("words of the command", ["--", "echo {} | grep -c", '"\\d+"; echo "a\\b" \'c\\d\'', "---", "$NONE",
                              "{{}}", "'naïve ☃'; printf '%s\\n' {}".encode() + b" '\xff\xfe'",
                              ":::", b"caf\xe9 \\d+"]),
    ("columns", ["--colsep", ",", "--tagstring", "{2}", "--", "echo {3} {1} {1.} {2/} {2//} {2/.}", ":::",
                 "a.b,/c/d e.f,g", "-n.x,/é/☃.tar.gz,'"]),
    ("two sources", ["--", "echo {1}-{2}-{#}", ":::", "a", "b  b", ":::+", "'", '"', ":::", "-", "\n"]),
    ("several to a job", ["-n2", "--", "echo {1} and {2}: {}", ":::", "a", "b", "c d", "e", "f"]),
    ("its environment", ["--env", "ODD", "--", 'echo "$ODD" {}', ":::", "a"]),
    ("a long argument", ["--", "printf %s {} | md5sum", ":::", "'x " * 10_000]),
    ("statuses", ["--joblog", "log", "--", "exit {}", ":::", "0", "1", "7", "255"]),
    ("time", ["--timeout", "3", "--", "echo {}; sleep {}", ":::", "0", "600"]),
]  # fmt: skip


@pytest.mark.parametrize("arguments", [c[1] for c in COMMANDS], ids=[c[0] for c in COMMANDS])
def test_a_command_line_does_what_it_does_here(
    none: Place, local_parallel: Local, arguments: list[str | bytes]
) -> None:
    more = {"ODD": "a  \"b\" 'c' $ID ☃\n{{ }}"} if "--env" in arguments else {}
    agree(none, local_parallel, ["-k", *arguments], **more)


def test_as_many_arguments_as_fit_go_to_one_job(none: Place, local_parallel: Local) -> None:
    odd = b"a\0b c\0*\0$ID\0\n\0'\0"
    stdin = odd + b"".join(b"%d'\0" % number for number in range(20_000))
    arguments = ("-0", "-X", "-j1", "-k", "--", "printf '%s\\n' pre-{}-post")
    done = none.parallel("--quiet", *arguments, stdin=stdin)
    local = local_parallel(*arguments, cwd=none.path, stdin=stdin)
    assert (done.status, local.status) == (0, 0)
    assert done.out == local.out
    # GNU parallel says so of all logins; here it did not fail.
    assert done.messages == "parallel: Warning: Using -X or -m with --sshlogin may fail.\n"


def test_stdin_in_records_reaches_the_jobs(none: Place, local_parallel: Local) -> None:
    data = bytes(range(256)) * 40 + b"\n"
    stdin = b"".join(data[i:] + b"--\n" for i in range(0, 2000, 400))
    arguments = ["--pipe", "-k", "-N1", "--recend", "--\n", "--tag", "--", "od -An -tx1 | md5sum; echo {#}"]
    agree(none, local_parallel, arguments, stdin=stdin)


def test_joblog_and_results_tell_what_they_tell_here(
    none: Place, local_parallel: Local, tmp_path: Path
) -> None:
    found = []
    for name in ("here", "pods"):
        root = tmp_path / name
        root.mkdir()
        log, results = root / "log", root / "results"
        arguments = ["-k", "--joblog", str(log), "--results", str(results)]
        arguments += ["--", "echo out {}; echo err {} >&2; exit {#}", ":::", "a b", "$ID", "☃"]
        run = local_parallel(*arguments, cwd=root) if name == "here" else none.parallel("--quiet", *arguments)
        assert run.status == 3
        rows = sorted(line.split("\t") for line in log.read_text().splitlines())
        # Number, exit status, signal, command: not the times, the host and the bytes sent to it.
        files = {p.relative_to(results): p.read_bytes() for p in sorted(results.rglob("*")) if p.is_file()}
        found.append(([(row[0], row[5], row[6], row[7], row[8]) for row in rows], files))
    here, pods = found
    assert pods == here
    assert len(here[1]) == 9


def test_files_go_to_the_pod_and_come_back(make_place: Callable[[str], Place], server_image: str) -> None:
    place = make_place("transfers")
    # The file server's image has the rsync that GNU parallel's own transfers need in the pods.
    place.setup("none", "--base-image", server_image.partition("@")[0])
    files = ["plain", "a blank", "dir/below", "it's", 'q"q', "☃", "$ID", "{{ }}"]
    for name in files:
        (place.path / name).parent.mkdir(exist_ok=True)
        (place.path / name).write_text(f"in {name}\n")
    options = ["--transferfile", "{}", "--return", "{}.out", "--cleanup"]
    done = place.parallel("--quiet", *options, "--", "cat {} {} >{}.out; ls | wc -l", ":::", *files, pods=2)
    assert (done.status, done.messages) == (0, "")
    assert {name: (place.path / f"{name}.out").read_text() for name in files} == {
        name: f"in {name}\n" * 2 for name in files
    }


DIRECTORIES = [
    "a 'b' \"c\" \\d+ $ID {{ }} `id` $(id) \\",
    "-dash\nnew line\t☃ naïve \u202e",
    "{% if %} *?[a] #~ %s &|;<> ^=! {} {#} ---",
]


@pytest.mark.parametrize("name", DIRECTORIES)
def test_directories_of_any_name_are_set_up_and_used(make_place: Callable[[str], Place], name: str) -> None:
    place = make_place(name)
    below = place.path / name
    below.mkdir()
    (below / name).write_text("content\n")
    command = "pwd; ls; cat -- * 2>/dev/null; : {}"
    place.setup("none")
    done = place.parallel("--quiet", "--", command, ":::", "1", cwd=below)
    assert (done.out.decode(), done.messages) == (f"{below}\n", "")
    place.setup("eager")
    done = place.parallel("--quiet", "--", "pwd; cat -- *; : {}", ":::", "1", cwd=below)
    assert (done.out.decode(), done.messages) == (f"{below}\ncontent\n", "")
    assert os.listdir(below) == [name]
