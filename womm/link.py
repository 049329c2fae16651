"""A way to the file server alone, through a hub of its own: for what is no task's run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from womm import server, signals
from womm.kubectl import Kube
from womm.output import progress
from womm.process import Done, attempt, pour
from womm.runs import Run


@dataclass(frozen=True)
class Link:
    """A hub that knows the file server's `pod`, and the run that it belongs to."""

    run: Run
    pod: str

    def argv(self, *words: str) -> list[str]:
        """What runs `words` in the file server's container, its streams its own."""
        return [*self.run.login, self.pod, "--", *words]

    def ask(self, *words: str) -> Done:
        """Run `words` there, whatever their exit status."""
        return attempt(self.argv(*words), env=self.run.environment, detached=True)

    def pour(self, chunks: Iterable[bytes], *words: str) -> Done:
        """Run `words` there with `chunks` as stdin, whatever their exit status."""
        return pour(self.argv(*words), chunks, env=self.run.environment)

    def fetch(self, into: Path, *words: str) -> Done:
        """Run `words` there, what they print into a file, whatever their exit status."""
        return pour(self.argv(*words), env=self.run.environment, into=into)


@contextmanager
def linked(kube: Kube, patience: float) -> Iterator[Link]:
    """Reach the namespace's file server, which may take `patience` seconds to start. Raises WommError."""
    # Here, not above: it takes 0.15 s, which most sweeps can do without.
    from womm.hub.core import Settings  # noqa: PLC0415
    from womm.hub.hub import Hub  # noqa: PLC0415
    from womm.hub.job import Rules  # noqa: PLC0415

    found = server.wait_for(kube, patience)
    with ExitStack() as undo:
        with signals.held():
            run_ = Run()
            undo.callback(run_.close)
            undo.callback(run_.take_back)
        settings = Settings(
            kube=kube,
            task=run_.task,
            run=run_.path,
            slots=1,
            directory=b"/",
            shell=b"",
            rules=Rules(),
            environment=run_.environment,
            others={found.pod: server.CONTAINER},
        )
        hub = Hub(settings, lambda _pods: None, lambda line: progress(f"womm: {line}"))
        with signals.held():
            hub.start()
            undo.callback(hub.stop)
        yield Link(run_, found.pod)
