"""What a task's jobs print is copied whole, once, and never half a job's."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from womm.errors import WommError
from womm.process import Done
from womm.server import GONE
from womm.tasks.marks import Place
from womm.tasks.ship import OTHERWISE, TAKEN, Files, Shipper


class FileServer:
    """`server-task` in memory: `answers` are the exit statuses of its next commits, then all are good."""

    def __init__(self, *answers: int) -> None:
        self.copies = [b"", b"", b""]
        self.answers = list(answers)
        #: Whether the next commit is made although its answer is a bad one.
        self.deaf = False
        self.restored = 0

    def restore(self) -> None:
        self.restored += 1

    @property
    def state(self) -> Place:
        return Place(*map(len, self.copies))

    def ask(self, verb: str, *_words: str) -> Done:
        assert verb == "begin"
        return Done(0, " ".join(map(str, self.state)).encode(), b"")

    def pour(self, chunks: Callable[[], Iterator[bytes]], verb: str, *words: str) -> Done:
        assert verb == "commit"
        assert words[6:] == ("pod-1",)
        state, lengths = Place(*map(int, words[:3])), list(map(int, words[3:6]))
        content = b"".join(chunks())
        assert len(content) == sum(lengths)
        answer = self.answers.pop(0) if self.answers else 0
        if answer != 0 and not self.deaf:
            return Done(answer, b"", b"said no")
        if state != self.state:
            return Done(OTHERWISE, b"", b"another state")
        for number, length in enumerate(lengths):
            self.copies[number] += content[:length]
            content = content[length:]
        self.deaf = False
        return Done(answer, b"", b"")


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a server that is away."""
    monkeypatch.setattr("womm.tasks.ship._EVERY", 0.01)
    monkeypatch.setattr("womm.tasks.ship._AGAIN", 0.01)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The files of a task whose GNU parallel has begun."""
    made = Files(*(tmp_path / name for name in ("out", "err", "log", "marks", "total")))
    made.out.write_bytes(b"")
    made.err.write_bytes(b"womm: hello\n")
    made.log.write_bytes(b"Seq\n")
    return made


def shipper(server: FileServer, files: Files, grouped: bool = True) -> Shipper:
    """One that has shipped nothing."""
    return Shipper(
        server,
        files,
        server.state,
        grouped=grouped,
        owner="pod-1",
        restore=server.restore,  # type: ignore[arg-type]
    )


def grow(path: Path, content: bytes) -> None:
    """Append to a file."""
    with path.open("ab") as file:
        file.write(content)


def test_all_is_shipped_at_the_end(files: Files) -> None:
    server = FileServer()
    grow(files.out, b"1\n\0\xff")
    shipper(server, files).stop(whole=True)
    assert server.copies == [b"1\n\0\xff", b"womm: hello\n", b"Seq\n"]


def test_half_a_jobs_output_waits_for_the_other_half(files: Files) -> None:
    server = FileServer()
    files.marks.write_bytes(b"b 0 12 4\n")
    grow(files.out, b"half")
    shipper(server, files).stop(whole=False)
    assert server.copies == [b"", b"womm: hello\n", b"Seq\n"]
    grow(files.out, b" and half\n")
    grow(files.log, b"1\n")
    grow(files.marks, b"e 14 12 6\nb 14 12 6\n")
    grow(files.out, b"next")
    shipper(server, files).stop(whole=False)
    assert server.copies == [b"half and half\n", b"womm: hello\n", b"Seq\n1\n"]


def test_what_is_not_grouped_is_shipped_as_it_comes(files: Files) -> None:
    server = FileServer()
    files.marks.write_bytes(b"b 0 12 4\n")
    grow(files.out, b"half")
    shipper(server, files, grouped=False).stop(whole=False)
    assert server.copies[0] == b"half"


def test_a_commit_whose_answer_was_lost_is_not_made_twice(files: Files) -> None:
    server = FileServer(1)
    server.deaf = True
    begun = shipper(server, files)
    with pytest.raises(WommError, match="does not take"):
        begun.stop(whole=False)
    grow(files.out, b"more\n")
    begun.stop(whole=True)
    assert server.copies == [b"more\n", b"womm: hello\n", b"Seq\n"]


def test_a_server_that_has_lost_the_task_is_given_all_of_it_again(files: Files) -> None:
    server = FileServer()
    begun = shipper(server, files)
    grow(files.out, b"1\n")
    begun.stop(whole=False)
    server.copies = [b"", b"", b""]
    server.answers = [GONE]
    grow(files.out, b"2\n")
    begun.stop(whole=True)
    assert server.restored == 1
    assert server.copies == [b"1\n2\n", b"womm: hello\n", b"Seq\n"]


def test_where_another_coordinator_has_begun_this_one_ends(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda *what: killed.append(what))
    server = FileServer(TAKEN, TAKEN)
    begun = shipper(server, files)
    begun.start()
    begun.join(5)
    assert killed == [(os.getpid(), signal.SIGTERM)]
    with pytest.raises(WommError, match="another coordinator"):
        begun.stop(whole=False)
    assert server.copies == [b"", b"", b""]


def test_a_server_that_is_away_for_a_while_gets_it_all_later(
    files: Files,
) -> None:
    server = FileServer(255, 1, 255)
    begun = shipper(server, files)
    begun.start()
    grow(files.out, b"late\n")
    while server.answers:
        begun.join(0.01)
    begun.stop(whole=True)
    assert server.copies == [b"late\n", b"womm: hello\n", b"Seq\n"]
