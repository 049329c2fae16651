"""Many channels: 1,000 to simulated pods, and 200 to real ones, or as many as the node takes."""

from __future__ import annotations

import resource

from bench import scale_real, scale_simulated
from bench.figures import Bound, Report, Table, amount
from bench.load import Load
from bench.place import ROOT, Bench

TITLE = "many pods"

_COLUMNS = ("", "pods", "all up after", "client", "its kubectl", "jobs", "jobs took")


def run(bench: Bench) -> Report:
    """Measure both; the bounds are for the simulated pods, whose number doesn't depend on the machine."""
    # A proxy has two descriptors for each channel.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = 50 if bench.quick else 1000
    notes = ["client: the memory (RSS) of womm's own process; its kubectl: of all kubectl that it started."]
    simulated = None
    if (ROOT / "womm/hub/hub.py").exists():
        simulated = scale_simulated.run(bench, count)
        notes.append("simulated: a stand-in for API server and agents, behind a real kubectl proxy.")
    else:
        notes.append("There is no hub: nothing was simulated.")
    real = scale_real.run(bench, 5 if bench.quick else 200)
    bounds = [
        Bound(f"memory of the client with {count} pods", simulated and simulated.memory[0], 300, "MB"),
        Bound(f"time until {count} pods are up", simulated and simulated.up, 40, "s"),
    ]
    return Report(
        TITLE, [Table(_COLUMNS, [_cells(load) for load in (simulated, real) if load])], bounds, notes
    )


def _cells(load: Load) -> tuple[str, ...]:
    memory = [amount(each, "MB") for each in load.memory]
    return load.name, str(load.pods), amount(load.up, "s"), *memory, str(load.jobs), amount(load.took, "s")
