"""A timeline's page: which pod, which lane, what the words say, and that nothing breaks out of it."""

from __future__ import annotations

import html
import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import Hermetic
from hypothesis import given
from hypothesis import strategies as st

from womm import cli, joblogs, timeline
from womm.errors import WommError
from womm.joblog import Row, read
from womm.timeline import HERE, Notes, lanes, page, place, read_notes

START = 1_700_000_000.0


def job(seq: int, start: float = 0.0, seconds: float = 1.0, **more: Any) -> Row:
    """A job that begins `start` seconds after the first; `more`: host, status, signal, command."""
    given_ = {"host": "pod-a", "status": 0, "signal": 0, "command": "true", **more}
    return Row(seq=seq, start=START + start, seconds=seconds, **given_)


def data(text: str) -> dict[str, Any]:
    """What the page's script reads."""
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    content: dict[str, Any] = json.loads(found)
    return content


def words(text: str) -> str:
    """What a reader of the page reads, without the scripts."""
    for part in ("script", "style"):
        text = re.sub(rf"<{part}\b.*?</{part}>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


times = st.integers(0, 10_000).map(lambda ms: ms / 1000)


@given(st.lists(st.tuples(times, times), max_size=40))
def test_jobs_of_a_lane_never_run_at_once_and_no_more_lanes_than_needed_are_taken(
    spans: list[tuple[float, float]],
) -> None:
    rows = [job(n, start, seconds) for n, (start, seconds) in enumerate(spans)]
    chosen = lanes(rows)
    for lane in set(chosen):
        theirs = sorted((row for row, own in zip(rows, chosen, strict=True) if own == lane), key=order)
        for before, after in pairwise(theirs):
            assert before.end <= after.start + 0.0021
    most = max(
        (sum(row.start <= at.start < row.end or row is at for row in rows) for at in rows),
        default=0,
    )
    assert len(set(chosen)) <= most
    assert set(chosen) == set(range(len(set(chosen))))


def order(row: Row) -> tuple[float, int]:
    """As GNU parallel began them."""
    return row.start, row.seq


def test_a_job_ran_in_the_pod_that_it_was_last_given_to() -> None:
    notes = read_notes(
        b"slots\t4\n7\t1700000001.1\tpod-b\n7\t1700000003.0\tpod-c\nx\n7\t1700009999\tpod-d\n\xff\ty\tz\n"
    )
    assert notes.slots == 4
    assert place(job(7, 1, 4), notes) == "pod-c"
    # The same job of an earlier try, which another note is of.
    assert place(job(7, 1, 0.5), notes) == "pod-b"
    assert place(job(7, 500, 1), notes) == "pod-a"
    assert place(job(8, 1, 4), notes) == "pod-a"


def test_without_a_note_it_ran_where_gnu_parallel_says() -> None:
    assert place(job(1, host="pod-a.3"), Notes()) == "pod-a"
    assert place(job(1, host=":"), Notes()) == HERE


def test_the_page_says_in_words_what_it_draws() -> None:
    rows = [job(1, 0, 8), job(2, 0, 4, host="pod-b"), job(3, 5, 5, host=":", status=3, command="convert c")]
    said = words(page("womm: abcdefgh", rows, Notes(slots=4)))
    assert "3 jobs in 2 pods and on this machine; 1 failed." in said
    assert "(2023-11-14 22:13:20 UTC) to the last one's end it took 10.0 s." in said
    assert "4 jobslots were 42% in use." in said
    assert "Failed jobs Job Took Began Ended Pod Command 3 5.00 s + 5.00 s exit status 3 this machine" in said
    assert said.index("The slowest jobs") < said.index("1 8.00 s") < said.rindex("3 5.00 s")


def test_the_page_has_all_jobs_and_the_ten_slowest_by_name() -> None:
    rows = [job(n, n, n / 10, command=f"job-{n}.", status=n % 2) for n in range(1, 51)]
    text = page("t", rows, Notes())
    assert sorted(each[0] for each in data(text)["jobs"]) == list(range(1, 51))
    assert "The first 10 of 25 failed jobs" in words(text)
    slowest = words(text).partition("The slowest jobs")[2]
    assert re.findall(r"job-(\d+)\.", slowest) == [str(n) for n in range(50, 40, -1)]
    assert "5 jobslots were" in words(text)


def test_a_run_without_jobs_has_a_page_too() -> None:
    text = page("t", [], Notes())
    assert "No job has ended." in words(text)
    assert data(text)["jobs"] == []


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>&amp;\"'`",
    "\u2028\u2029\x00\x1b[31m",
    "\udcff\udc80é日",
    "{{ 7 * 7 }}{% raw %}",
]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(HOSTILE), st.binary().map(lambda raw: raw.decode(errors="surrogateescape"))
        ),
        max_size=3,
    )
)
def test_nothing_breaks_out_of_the_page(commands: list[str]) -> None:
    rows = [job(n, command=c, host=c[:9] or "p", status=1) for n, c in enumerate(commands, 1)]
    text = page("</title><b>" + "".join(commands), rows, Notes())
    text.encode()
    # Its own tags, whatever the commands hold.
    assert (text.count("<script"), text.count("</script"), text.count("<b>")) == (2, 2, 0)
    shown = {each[0]: each[6] for each in data(text)["jobs"]}
    for n, command in enumerate(commands, 1):
        assert shown[n].isprintable()
        if command.isascii() and command.isprintable():
            assert shown[n] == command


def test_bytes_that_are_no_text_are_replaced_and_long_commands_shortened() -> None:
    rows = read(b"1\tp\t1.0\t1.0\t0\t0\t0\t0\ta\xffb\n2\tp\t1.0\t1.0\t0\t0\t0\t0\t" + b"x" * 9999 + b"\n")
    shown = [each[6] for each in data(page("t", rows, Notes()))["jobs"]]
    assert shown == ["a\ufffdb", "x" * 300 + "…"]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    text = page("t", [job(1)], Notes())
    assert not re.search(r"(src|href|url)\s*[=(]|@import|https?:", text)
    assert "default-src 'none'" in text


@pytest.mark.parametrize("path", ["nowhere/t.html", "."])
def test_a_page_that_can_not_be_written_is_refused(
    hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(hermetic.root)
    for act in (lambda: timeline.demand(Path(path)), lambda: timeline.write(Path(path), "")):
        with pytest.raises(WommError, match="can't be written") as caught:
            act()
        assert caught.value.hint


def test_a_full_disk_is_told(hermetic: Hermetic) -> None:
    with pytest.raises(WommError, match="/dev/full can't be written"):
        timeline.write(Path("/dev/full"), "x")


def womm_timeline(*arguments: str) -> int:
    """Run the verb."""
    return cli.main(["timeline", *arguments])


def test_the_verb_draws_a_kept_run_and_any_joblog(
    hermetic: Hermetic, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(hermetic.root)
    joblogs.directory().mkdir(parents=True)
    kept = joblogs.directory() / "abcdefgh.tsv"
    kept.write_text("Seq\n7\tpod-a.1\t1700000000.000\t     2.500\t0\t0\t0\t0\techo seven\n")
    kept.with_suffix(".places").write_text("slots\t5\n7\t1700000000.1\tpod-z\n")
    for name in ("abcdefgh", "womm-task-abcdefgh", str(kept)):
        assert womm_timeline(name) == 0
        text = capfd.readouterr().out
        assert data(text)["pods"] == [{"name": "pod-z", "lanes": 1}]
        assert "5 jobslots were" in words(text)
    (hermetic.root / "own.log").write_bytes(kept.read_bytes())
    assert womm_timeline("own.log", "--output", "t.html") == 0
    assert data((hermetic.root / "t.html").read_text())["pods"] == [{"name": "pod-a", "lanes": 1}]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["qqqqqqqq"], "no joblog of run qqqqqqqq is kept here"),
        (["none.log"], "none.log can't be read"),
        (["none.log", "--output", "nowhere/t"], "nowhere/t can't be written"),
        ([], "the following arguments are required"),
    ],
)
def test_the_verb_says_what_is_wrong(
    hermetic: Hermetic, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert womm_timeline(*arguments) == 125
    assert message in capfd.readouterr().err


def test_a_terminal_gets_no_page(hermetic: Hermetic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.isatty", lambda _descriptor: True)
    assert womm_timeline("abcdefgh") == 125
