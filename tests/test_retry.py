"""The command that runs the failed jobs again: GNU parallel itself, and a shell, say whether it does."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Hermetic
from hypothesis import given
from hypothesis import strategies as st

from womm.files import PARALLEL, PARALLEL_OPTIONS
from womm.getopt import load_table, parse
from womm.options import OURS
from womm.retry import Log, log_of, pasteable

TABLE = load_table(PARALLEL_OPTIONS, OURS)
WOMM = str(Path(sys.executable).with_name("womm"))


def log(line: str) -> Log:
    """What the options of `line` say of the joblog."""
    return log_of(parse(shlex.split(line), TABLE).tokens)


def test_options_stay_as_they_were_given_and_input_is_left_out() -> None:
    line = (
        "--kube-pods 2 --async -kj3 --retries=2 -N 2 -0 -a list --colsep , -I ,, --tag "
        "--joblog old --timeline t.html"
    )
    assert log(line).again == ("--kube-pods", "2", "-k", "-j3", "--retries=2", "--tag")


@pytest.mark.parametrize(
    "option",
    ["--pipe", "--pipe-part", "--onall", "--nonall", "--results d", "--trc {}.out", "--return x", "-vv",
     "--transferfile {}", "--wd d/{}", "--template t=u", "--sqlandworker x", "-v --tag -v", "--tee", "--cat",
     "-I ,, --wd d/,,"],
)  # fmt: skip
def test_what_can_not_be_retried_has_no_command(option: str) -> None:
    assert log(f"--kube-pods 2 {option}").again is None


@pytest.mark.parametrize(
    ("line", "given_", "file", "appends", "addable"),
    [
        ("-k", None, None, False, True),
        ("--pipe", None, None, False, True),
        ("--joblog a --jl=b", "b", "b", False, False),
        ("--joblog +b", "+b", "b", True, False),
        ("--joblog -", "-", None, False, False),
        ("--joblog ''", "", None, False, False),
        ("--resume --results d", None, None, True, False),
        ("--resume-failed --joblog b", "b", "b", True, False),
        ("--retry-failed --joblog b", "b", "b", True, False),
        ("--results d", None, None, False, True),
        ("--results d/t.csv", None, None, False, False),
        ("--res=-.tsv", None, None, False, False),
        ("--onall", None, None, False, False),
        ("--nonall --joblog b", "b", "b", False, False),
        ("--sqlmaster x", None, None, False, False),
    ],
)
def test_a_joblog_is_added_where_it_changes_nothing(
    line: str, given_: str | None, file: str | None, appends: bool, addable: bool
) -> None:
    said = log(line)
    assert (said.given, said.file, said.appends, said.addable) == (given_, file, appends, addable)


#: Options that would change what --retry-failed does, were they kept; each with the input that fits.
ODD = [
    ("-k", ["1", "2", "3", "4"]),
    ("-N2", ["1", "2", "3", "4"]),
    ("-X -s 300 -j1", ["1", "2", "3", "4"]),
    ("-0", ["1", "2", "3", "4"]),
    ("-q", ["1", "2", "3", "4"]),
    ("--shuf", ["1", "2", "3", "4"]),
    ("--colsep ,", ["1,a", "2,b", "3,c"]),
    ("--header :", ["x", "1", "2", "3"]),
    ("--trim lr -r -d ;", ["1", "2", "3"]),
    ("-I ,,", ["1", "2"]),
    ("--tag --tagstring {1} --delay 0.01 --retries 2 -u --plus -l1 -E x", ["1", "2", "3"]),
]


@pytest.mark.parametrize(("options", "inputs"), ODD, ids=[options for options, _ in ODD])
def test_gnu_parallel_runs_the_failed_jobs_again_and_those_alone(
    hermetic: Hermetic, options: str, inputs: list[str]
) -> None:
    job = hermetic.stub(
        "job", f'#!/bin/sh\necho "$*" >>{hermetic.root}/ran\ncase $1 in *[13]*) exit 1; esac\n'
    )
    record = hermetic.root / "log"
    ran = hermetic.root / "ran"
    replaced = ",," if "-I" in options else "{}"
    argv = ["perl", PARALLEL, "--will-cite", "--joblog", record, *options.split(), job, replaced]
    subprocess.run([*argv, ":::", *inputs], check=False, capture_output=True)
    failing = sorted(line for line in ran.read_text().splitlines() if {"1", "3"} & set(line.split()[0]))
    assert failing
    ran.unlink()
    again = log(options).again
    assert again is not None
    argv = ["perl", PARALLEL, "--will-cite", *again, "--retry-failed", "--joblog", record]
    subprocess.run(argv, check=False, capture_output=True, stdin=subprocess.DEVNULL)
    assert sorted(set(ran.read_text().splitlines())) == sorted(set(failing))


@given(st.lists(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw), min_size=1, max_size=4))
def test_what_is_pasted_is_what_was_meant(raw: list[bytes]) -> None:
    line = pasteable([os.fsdecode(word) for word in raw])
    assert line.isprintable()
    script = f"printf '%s\\0' {line}".encode()
    done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    assert done.stdout == b"".join(word + b"\0" for word in raw)


def womm(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run womm's own GNU parallel: without pods, so that no cluster is needed."""
    argv = [WOMM, "parallel", "--kube-pods", "0", "--local-procs", "2", *arguments]
    return subprocess.run(
        argv, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


FAILS = "[ -e fixed ] || [ {} != b ] || exit 3; echo {} >>ran"


def test_the_printed_command_runs_the_failed_jobs_alone(hermetic: Hermetic) -> None:
    done = womm("-k", "--", FAILS, ":::", "a", "b", "c", cwd=hermetic.root)
    lines = done.stderr.splitlines()
    assert done.returncode == 1
    assert lines[0].startswith("womm: 1 of 3 jobs failed in ")
    assert lines[1] == "womm:   2  exit status 3  " + FAILS.replace("{}", "b")
    assert lines[2] == "womm: to run only those again:"
    assert lines[3].startswith("womm parallel --kube-pods 0 --local-procs 2 -k --retry-failed --joblog /")
    assert len(lines) == 4
    assert (hermetic.root / "ran").read_text().split() == ["a", "c"]
    (hermetic.root / "fixed").touch()
    pasted = lines[3].replace("womm", shlex.quote(WOMM), 1)
    again = subprocess.run(["bash", "-c", pasted], cwd=hermetic.root, capture_output=True, check=False)
    assert (again.returncode, again.stderr) == (0, b"")
    assert (hermetic.root / "ran").read_text().split() == ["a", "c", "b"]


def test_quiet_keeps_the_summary_off(hermetic: Hermetic) -> None:
    assert womm("--quiet", "--", "false", ":::", "1", cwd=hermetic.root).stderr == ""


def test_a_retry_that_fails_again_counts_its_own_jobs_only(hermetic: Hermetic) -> None:
    womm("--joblog", "own", "--", FAILS, ":::", "a", "b", "c", cwd=hermetic.root)
    done = womm("--retry-failed", "--joblog", "own", cwd=hermetic.root)
    lines = done.stderr.splitlines()
    assert lines[0].startswith("womm: 1 of 1 job failed in ")
    assert lines[-1] == "womm parallel --kube-pods 0 --local-procs 2 --retry-failed --joblog own"


def test_where_jobs_can_not_be_retried_they_are_named_all_the_same(hermetic: Hermetic) -> None:
    done = womm("--pipe-part", "-a", "/etc/passwd", "--", "cat >/dev/null; exit 4", cwd=hermetic.root)
    assert "  exit status 4  cat >/dev/null; exit 4" in done.stderr
    assert "--retry-failed" not in done.stderr
    latin = womm("--", "exit 5; : {}", ":::", "é", cwd=hermetic.root)
    assert "womm:   1  exit status 5  exit 5; : " in latin.stderr
    assert "--retry-failed" not in latin.stderr


@pytest.mark.parametrize("home", ["/proc/self/x", "/dev/null/x"])
def test_a_home_that_can_not_be_written_costs_the_hint_alone(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.setenv("HOME", home)
    done = womm("--", "echo {}; exit {}", ":::", "0", "1", cwd=hermetic.root)
    assert (done.returncode, sorted(done.stdout.split())) == (1, ["0", "1"])
    assert [line[:20] for line in done.stderr.splitlines()] == [
        "womm: 1 of 2 jobs fa",
        "womm:   2  exit stat",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--retry-failed", "--joblog", "none"], "none can't be read"),
        (["--retry-failed", "--joblog", "empty"], "empty names no job to retry"),
        (["--timeline", "nowhere/t.html", "--", "touch ran", ":::", "1"], "nowhere/t.html can't be written"),
        (["--timeline", ".", "--", "touch ran", ":::", "1"], ". can't be written (it is a directory)"),
        (["--timeline", "t.html", "--joblog", "-", "--", "touch ran", ":::", "1"], "--timeline draws from"),
        (
            ["--timeline", "t.html", "--joblog", "/dev/null", "--", "touch ran", ":::", "1"],
            "--timeline draws",
        ),
        (["--timeline", "t.html", "--nonall", "--", "touch ran"], "--timeline draws from"),
    ],
)
def test_what_can_not_be_done_at_the_end_is_refused_at_the_beginning(
    hermetic: Hermetic, options: list[str], message: str
) -> None:
    (hermetic.root / "empty").write_text("Seq\tHost\n")
    done = womm(*options, cwd=hermetic.root)
    assert done.returncode == 125
    assert done.stderr.startswith(f"womm: {message}")
    assert not (hermetic.root / "ran").exists()


def test_a_joblog_that_goes_elsewhere_is_left_alone(hermetic: Hermetic) -> None:
    done = womm("--joblog", "-", "--", "exit 3; : {}", ":::", "1", cwd=hermetic.root)
    assert (done.returncode, done.stderr) == (1, "")
    assert "\texit 3; : 1" in done.stdout
