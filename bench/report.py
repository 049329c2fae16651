"""Reports as Markdown that also reads well in a terminal (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.figures import Report, Table

_BOUNDS = ("bound", "measured", "limit", "")


def table(made: Table) -> str:
    """A table, its columns aligned."""
    rows = [made.columns, *made.rows]
    widths = [max(3, *(len(row[at]) for row in rows)) for at in range(len(made.columns))]
    lines = [_line(row, widths) for row in rows]
    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([lines[0], rule, *lines[1:]]) + "\n"


def section(name: str, report: Report) -> str:
    """A benchmark's part: its tables, its bounds, its notes."""
    parts = [f"## {name}: {report.title}\n", *map(table, report.tables)]
    if report.bounds:
        parts.append(table(Table(_BOUNDS, [bound.cells() for bound in report.bounds])))
    if report.notes:
        parts.append("".join(f"- {note}\n" for note in report.notes))
    return "\n".join(parts)


def results(facts: Mapping[str, str], reports: Mapping[str, Report]) -> str:
    """The whole of RESULTS.md: `facts` tell of the machine and the versions."""
    bounds = [bound for report in reports.values() for bound in report.bounds]
    missed = sum(not bound.met for bound in bounds)
    head = [
        "# Results of the benchmarks\n",
        "Written by `make bench`, which repeats them; `make bench ARGS=NAME` only prints one of them.\n"
        "Each figure is measured next to its rivals, in the same run on the same machine: compare ratios,\n"
        "not seconds, and expect others on another machine.\n"
        f"{len(bounds) - missed} of {len(bounds)} bounds are met.\n",
        "".join(f"- {name}: {value}\n" for name, value in facts.items()),
    ]
    return "\n".join([*head, *(section(name, report) for name, report in reports.items())])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)) + " |"
