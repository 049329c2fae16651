"""The benchmarks' own arithmetic, their reports, and the stand-in for a thousand pods."""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from womm.hub import frames

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import delay, made, pushed, report, standin, where
from bench.figures import (
    Bound,
    Job,
    Report,
    Table,
    amount,
    medians,
    per_job,
    read_joblog,
    read_times,
    steady_rate,
)

JOBLOG = (
    "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
    "2\th2\t1700000001.000\t     2.500\t0\t2\t0\t0\techo a\tb\n"
    "1\th1\t1700000000.500\t     0.250\t0\t2\t3\t0\techo 1\n"
    "3\th1\t1700000002.000\t     0.250\t0\t2\t0\t15\techo 3\n"
)


def jobs(*ends: tuple[str, float]) -> list[Job]:
    return [Job(host, end - 1, end, 0) for host, end in ends]


def test_a_joblog_is_read_in_the_order_in_which_jobs_ended() -> None:
    assert read_joblog(JOBLOG) == [
        Job("h1", 1700000000.5, 1700000000.75, 3),
        Job("h1", 1700000002.0, 1700000002.25, 15),
        Job("h2", 1700000001.0, 1700000003.5, 0),
    ]


def test_a_joblog_without_jobs_is_empty() -> None:
    assert read_joblog(JOBLOG.splitlines()[0] + "\n") == []


def test_a_rate_leaves_out_the_first_jobs() -> None:
    assert steady_rate(jobs(("a", 0.0), ("a", 9.0), ("a", 9.5), ("a", 10.0)), 2) == pytest.approx(2)


def test_a_rate_begins_when_the_last_host_has_begun() -> None:
    slow_start = jobs(("a", 0.0), ("a", 5.0), ("b", 10.0), ("a", 10.1), ("b", 10.2))
    assert steady_rate(slow_start, 1) == pytest.approx(10)


def test_too_few_jobs_have_no_rate() -> None:
    with pytest.raises(ValueError, match="too few"):
        steady_rate(jobs(("a", 0.0), ("a", 1.0)), 2)
    with pytest.raises(ValueError, match="too few"):
        steady_rate([], 1)


def test_what_a_job_costs_is_the_difference_of_two_lengths() -> None:
    assert per_job((100, 3.0), (600, 8.0)) == pytest.approx(0.01)
    with pytest.raises(ValueError, match="not longer"):
        per_job((100, 3.0), (100, 8.0))


def test_medians_are_taken_of_each_figure_by_itself() -> None:
    rounds = [{"a": 1.0, "b": 30.0}, {"a": 3.0, "b": 10.0}, {"a": 2.0, "b": 20.0}]
    assert medians(rounds) == {"a": 2.0, "b": 20.0}
    assert medians([{"a": 1.0}, {"a": 2.0}]) == {"a": 1.5}


@pytest.mark.parametrize(
    ("measured", "at_least", "met"),
    [
        (1.0, False, True),
        (1.01, False, False),
        (1.0, True, True),
        (0.99, True, False),
        (None, False, False),
        (None, True, False),
    ],
)
def test_a_bound_is_met_up_to_its_limit(measured: float | None, at_least: bool, met: bool) -> None:
    assert Bound("it", measured, 1.0, at_least=at_least).met is met


def test_a_bound_says_what_it_is_and_whether_it_is_met() -> None:
    ratio = Bound("womm / floor", 0.5, 0.45, "×", at_least=True)
    assert ratio.cells() == ("womm / floor", "0.5 ×", "≥ 0.45 ×", "met")
    assert Bound("memory", None, 300, "MB").cells() == ("memory", "-", "≤ 300 MB", "not met")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.4567, "0.46"),
        (1.3, "1.3"),
        (12.34, "12.3"),
        (100, "100"),
        (250.4, "250"),
        (-0.02, "-0.02"),
    ],
)
def test_amounts_have_the_digits_that_count(number: float, text: str) -> None:
    assert amount(number) == text
    assert amount(number, "s") == f"{text} s"


def test_a_table_is_aligned_and_keeps_short_columns_valid() -> None:
    assert report.table(Table(("", "jobs/s"), [("womm", "100"), ("×", "9")])) == (
        "|      | jobs/s |\n| ---- | ------ |\n| womm | 100    |\n| ×    | 9      |\n"
    )


def test_results_hold_facts_figures_bounds_and_how_to_repeat_them() -> None:
    one = Report(
        "a title", [Table(("", "s"), [("womm", "1 s")])], [Bound("b", 1, 2), Bound("c", 3, 2)], ["Why."]
    )
    text = report.results({"womm": "commit abc"}, {"one": one, "two": Report("empty", [])})
    assert "`make bench`" in text
    assert "1 of 2 bounds are met." in text
    assert "- womm: commit abc\n" in text
    assert "## one: a title\n\n|      | s   |" in text
    assert "| b     | 1        | ≤ 2   | met     |\n| c     | 3        | ≤ 2   | not met |\n" in text
    assert "\n- Why.\n" in text
    assert text.endswith("## two: empty\n")


def test_the_stand_in_runs_jobs_as_an_agent_does() -> None:
    source = b"its source"
    hello = frames.greet("0" * 32, 0, 30, b"/", b"")
    run = frames.encode(frames.RUN, 7, b"\1true")
    query = "&".join(f"command={word}" for word in ("perl", "-e", "BOOT", str(len(source)), "task"))

    async def talk() -> list[frames.Frame]:
        async with await standin.listen() as server:
            url = f"ws://127.0.0.1:{standin.port_of(server)}/api/v1/namespaces/n/pods/pod-1/exec?{query}"
            # A list of its own: the type of it is websockets' Subprotocol.
            async with connect(url, subprotocols=list(standin._SUBPROTOCOLS)) as client:
                assert client.subprotocol == "v5.channel.k8s.io"
                for piece in (
                    source[:3],
                    source[3:] + hello[:5],
                    hello[5:],
                    run + frames.encode(frames.PING),
                ):
                    await client.send(b"\0" + piece)
                splitter, got = frames.Splitter(), []
                while len(got) < 4:
                    message = await client.recv()
                    assert message[0] == 1
                    got += splitter.feed(bytes(message[1:]))
                await client.send(b"\0" + frames.encode(frames.QUIT))
                assert (await client.recv())[:1] == b"\3"
                return got

    greeting, said, exit_, acknowledged = asyncio.run(talk())
    assert frames.understand(greeting) == frames.Greeting("new", 0, "")
    assert said == frames.Frame(frames.STDOUT, 7, b"pod-1\n")
    assert exit_ == frames.Frame(frames.EXIT, 7, bytes(4))
    assert frames.number(acknowledged.payload) == len(run) + len(frames.encode(frames.PING))


def test_the_stand_in_acknowledges_much_input_unasked() -> None:
    agent = standin.Agent("pod-1", 0)
    half = frames.encode(frames.INPUT, 1, bytes(128 << 10))
    assert agent.take(half) == b""
    assert agent.take(half) == frames.acknowledge(2 * len(half))
    with pytest.raises(frames.Violation):
        agent.take(b"\xff" * 9)


def test_a_processs_role_is_told_by_its_command_line() -> None:
    assert where.role("perl /x/womm/vendor/parallel --profile /dev/null") == "GNU parallel"
    assert where.role("/x/python /x/womm --namespace a parallel --kube-pods 3") == "womm: the hub"
    assert where.role("/usr/bin/containerd-shim-runc-v2 -namespace k8s.io") == "containerd and its shims"
    assert where.role("kubectl exec -i pod -c womm -- sh -c head -c 9 /dev/zero") == "kubectl exec"
    assert where.role("perl -X /x/scripts/login.pl pod -- head -c 9 /dev/zero") == where.BRIEF
    assert where.role("head -c 9 /dev/zero") == "the job's program"
    assert where.role("etcd") == "the rest of the cluster and of the machine"


def test_what_a_process_spends_is_seen_though_it_ends_meanwhile() -> None:
    program = "import time\nuntil = time.process_time() + 0.6\nwhile time.process_time() < until: pass"
    with where.watched() as told:
        subprocess.run([sys.executable, "-c", program, "vendor/parallel"], check=True)
    assert told()["GNU parallel"] >= 0.1
    assert told()["GNU parallel"] + told()[where.BRIEF] >= 0.5


def request(kind: int, path: str) -> bytes:
    """A request of SFTP's: a kind, a number, a path, attributes."""
    name = path.encode()
    body = struct.pack(">BII", kind, 1, len(name)) + name + bytes(4)
    return struct.pack(">I", len(body)) + body


def test_requests_are_understood_however_they_are_cut() -> None:
    stream = request(7, "a b") + struct.pack(">IBI", 5, 1, 3) + request(3, "c") + request(5, "handle")
    expected = [("lstat", "a b"), ("other", ""), ("open", "c"), ("read", "")]
    assert delay.Requests().feed(stream) == expected
    requests = delay.Requests()
    assert [each for byte in stream for each in requests.feed(bytes([byte]))] == expected


def test_what_was_asked_is_counted_from_mark_to_mark() -> None:
    log = (
        "1 lstat ./mark-a\n1.1 opendir many\n1.2 readdir \n1.2 readdir \n1.3 lstat /mark-a\n2 lstat mark-b\n"
    )
    assert delay.asked(log, "mark-a", "mark-b") == Counter({"readdir": 2, "opendir": 1})
    with pytest.raises(ValueError, match="mark-c"):
        delay.asked(log, "mark-a", "mark-c")


def test_a_long_line_takes_its_time_each_way_and_loses_nothing(tmp_path: Path) -> None:
    data = request(7, "asked for") + os.urandom(300_000)
    argv = [sys.executable, delay.__file__, "0.2", tmp_path / "log", "cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # The program has begun once something has come back.
        process.stdin.write(data[:1])
        process.stdin.flush()
        got = process.stdout.read(1)
        start = time.monotonic()
        rest, _ = process.communicate(data[1:])
        took = time.monotonic() - start
    assert (got + rest, process.returncode) == (data, 0)
    assert took >= 0.4
    assert (tmp_path / "log").read_text().splitlines()[0].split(" ", 1)[1] == "lstat asked for"


def test_a_command_at_the_end_of_a_long_line_tells_how_it_ended(tmp_path: Path) -> None:
    argv = [sys.executable, delay.__file__, "0", tmp_path / "log", "sh", "-c", "exit 3"]
    assert subprocess.run(argv, stdin=subprocess.DEVNULL, check=False).returncode == 3


def test_times_of_one_name_are_kept_together() -> None:
    assert read_times("small 0.5\ncold-a 1\nsmall 0.25\n") == {"small": [0.5, 0.25], "cold-a": [1.0]}


def test_a_clock_adds_up_and_changes_nothing() -> None:
    clock = pushed.Clock()
    slept = clock.timed("sleep", lambda seconds, more=0: time.sleep(seconds) or more)
    assert [slept(0.05, more=7), slept(0.05)] == [7, 0]
    with pytest.raises(ZeroDivisionError):
        clock.timed("fails", lambda: 1 / 0)()
    assert 0.1 <= clock.seconds["sleep"] < 5
    assert set(clock.seconds) == {"sleep", "fails"}


def test_random_files_have_the_size_that_was_asked_for(tmp_path: Path) -> None:
    made.write_random(tmp_path / "file", (1 << 20) + 5)
    content = (tmp_path / "file").read_bytes()
    assert len(content) == (1 << 20) + 5
    assert len(set(content)) == 256
