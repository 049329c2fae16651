"""What the coordinator of a task is told: all that `womm parallel --async` knew (pure)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from womm.config import Project
from womm.errors import WommError
from womm.manifests import Share
from womm.tasks.detached import place
from womm.values import Workers


@dataclass(frozen=True)
class Order:
    """One task. `directory` is where womm was called; `theirs` are GNU parallel's options.

    `rerun`, `grouped`, `pinned`: the rules of its jobs, see hub/job.py. `repeatable`: whoever begins again
    gives each job the number that it had. `stdin`: GNU parallel reads it; `files`: how many files were taken
    along. `environment` is for GNU parallel (--env, the locale), `shell` the user's own. `key` is what the
    file server calls the share's directory, "" without one. `cpu_limit`: see manifests.TaskSpec. Paths and
    arguments may hold any bytes, as Python's surrogates.
    """

    task: str
    directory: str
    shell: str
    project: Project
    workers: Workers
    share: Share | None
    key: str
    theirs: tuple[str, ...]
    command: tuple[str, ...]
    rerun: str
    grouped: bool
    pinned: bool
    cpu_limit: str
    repeatable: bool
    stdin: bool
    files: int
    environment: Mapping[str, str]

    @property
    def inputs(self) -> list[str]:
        """The names of what was taken along for GNU parallel to read."""
        return [*(place(number) for number in range(1, self.files + 1)), *(["stdin"] if self.stdin else [])]

    def dump(self) -> bytes:
        """As bytes that load() reads."""
        return json.dumps(asdict(self)).encode()


def load(written: bytes) -> Order:
    """Read what dump() has written. Raises WommError for anything else."""
    try:
        fields: dict[str, Any] = json.loads(written)
        workers = {**fields["workers"], "command": tuple(fields["workers"]["command"])}
        workers["tolerations"] = tuple(workers["tolerations"])
        share = fields["share"]
        return Order(
            **{
                **fields,
                "project": Project(**fields["project"]),
                "workers": Workers(**workers),
                "share": None if share is None else Share(**share),
                "theirs": tuple(fields["theirs"]),
                "command": tuple(fields["command"]),
            }
        )
    except (ValueError, TypeError, KeyError) as error:
        raise WommError(
            f"the task's order can't be read ({error})", "the file server is of another version"
        ) from error
