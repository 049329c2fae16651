"""The timeline's page in a real browser, headless Chromium: its script runs, draws, and answers."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from womm.joblog import Row
from womm.timeline import Notes, page

# A browser takes its time on a busy machine: each test starts one. Seconds are bench/timeline.py's affair.
pytestmark = pytest.mark.timeout(300)

BROWSER = (
    "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--force-prefers-reduced-motion", "--hide-scrollbars",
)  # fmt: skip

# Tells, as an attribute of the page, what `script` returns.
PROBE = """<script>
document.documentElement.dataset.found = JSON.stringify((() => {{ {script} }})());
</script></body>"""

# How many of the picture's pixels have which of the page's colours.
COLOURS = """
const pen = document.getElementById("bars").getContext("2d");
const { data } = pen.getImageData(0, 0, pen.canvas.width, pen.canvas.height);
const style = getComputedStyle(document.documentElement);
const found = {};
for (const name of ["well", "failed"]) {
  const hex = style.getPropertyValue(`--${name}`).trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  found[name] = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255) found[name]++;
}
return found;
"""

# What is told after each of some keys, and then of a pointer in the first lane, a bit beyond the middle.
ANSWERS = """
const bars = document.getElementById("bars");
const told = () => document.getElementById("told").textContent;
bars.focus();
const found = ["Home", "f", "End", "ArrowLeft"].map((key) => {
  bars.dispatchEvent(new KeyboardEvent("keydown", { key }));
  return told();
});
const { left, top, width } = bars.getBoundingClientRect();
bars.dispatchEvent(new PointerEvent("pointermove", { clientX: left + 0.51 * width, clientY: top + 24 }));
return [...found, told()];
"""

# A page in a frame of 400 pixels, which tells the page around it whether it is wider than that.
NARROW = """<html><body><iframe src="page.html" style="width:400px;height:900px;border:0"></iframe><script>
addEventListener("message", (event) => { document.documentElement.dataset.found = event.data; });
</script></body></html>"""
WIDTHS = """
const root = document.documentElement;
parent.postMessage(JSON.stringify([root.clientWidth, root.scrollWidth, root.dataset.drawn]), "*");
"""


def browse(path: Path, *options: str) -> dict[str, str]:
    """Open the page at `path`; return the attributes that it has in the end."""
    done = subprocess.run(
        [*BROWSER, f"--user-data-dir={path.parent / 'browser'}", *options, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, "HOME": str(path.parent)},
    )
    root = re.search(r"<html[^>]*>", done.stdout)
    assert root is not None, (
        f"chromium ended with {done.returncode}: {done.stdout[:500]}{done.stderr[-2000:]}"
    )
    quoted = dict(re.findall(r'data-(\w+)="([^"]*)"', root.group()))
    return {name: html.unescape(value) for name, value in quoted.items()}


def opened(tmp_path: Path, text: str, script: str = "return null;", *options: str) -> tuple[str, Any]:
    """Open a page; return how many jobs its script says to have drawn, and what `script` returned there."""
    path = tmp_path / "page.html"
    path.write_text(text.replace("</body>", PROBE.format(script=script)))
    root = browse(path, *options)
    assert "error" not in root, root
    return root["drawn"], json.loads(root["found"])


def rows(count: int, failed: int = 0, pods: int = 3) -> list[Row]:
    """Jobs one after the other in each pod; of `failed`, which is one of so many, the status is 3."""
    return [
        Row(
            seq=n,
            host=f"womm-task-abcdefgh-5d8f7c6b9-{n % pods:05}",
            start=1_700_000_000 + n // pods,
            seconds=0.9,
            status=3 if failed and n % failed == 0 else 0,
            signal=0,
            command=f"echo 'job {n}' </script><script>throw 1</script> é\udcff",
        )
        for n in range(1, count + 1)
    ]


def test_a_bar_is_drawn_for_each_job_and_failed_ones_have_a_colour_of_their_own(tmp_path: Path) -> None:
    drawn, colours = opened(tmp_path, page("t", rows(60, failed=10), Notes()), COLOURS)
    assert drawn == "60"
    assert colours["well"] > 4 * colours["failed"] > 0


def test_a_failed_job_is_seen_among_ten_thousand(tmp_path: Path) -> None:
    drawn, colours = opened(tmp_path, page("t", rows(10_000, failed=9_000, pods=40), Notes()), COLOURS)
    assert drawn == "10000"
    assert colours["well"] > 10_000
    assert colours["failed"] > 20


def test_keys_and_pointer_go_from_job_to_job(tmp_path: Path) -> None:
    _, told = opened(tmp_path, page("t", rows(60, failed=10), Notes()), ANSWERS)
    pod = "womm-task-abcdefgh-5d8f7c6b9"
    assert [each.partition(" echo ")[0] for each in told] == [
        f"Job 1 in {pod}-00001: began after 0 s, took 0.9 s, ended well.",
        f"Job 10 in {pod}-00001: began after 3 s, took 0.9 s, failed: exit status 3.",
        f"Job 60 in {pod}-00000: began after 20 s, took 0.9 s, failed: exit status 3.",
        f"Job 59 in {pod}-00002: began after 19 s, took 0.9 s, ended well.",
        f"Job 30 in {pod}-00000: began after 10 s, took 0.9 s, failed: exit status 3.",
    ]
    assert all("</script><script>throw 1</script> é\ufffd" in each for each in told)


def test_ten_thousand_jobs_fit_into_400_pixels(tmp_path: Path) -> None:
    text = page("womm: abcdefgh", rows(10_000, failed=7), Notes())
    (tmp_path / "page.html").write_text(text.replace("</body>", PROBE.format(script=WIDTHS)))
    frame = tmp_path / "frame.html"
    frame.write_text(NARROW)
    found = browse(frame, "--virtual-time-budget=10000")
    assert json.loads(found["found"]) == [400, 400, "10000"]


def test_a_dark_page_has_other_colours(tmp_path: Path) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor;"
    text = page("t", rows(3), Notes())
    assert opened(tmp_path, text, paper, "--blink-settings=preferredColorScheme=0")[1] == "rgb(22, 24, 27)"


def test_a_page_without_jobs_has_no_error(tmp_path: Path) -> None:
    assert opened(tmp_path, page("t", [], Notes()))[0] == "0"


def test_an_error_of_the_script_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(page("t", rows(1), Notes()).replace('"wall"', '"walls'))
    root = browse(path)
    assert "JSON" in root["error"]
    assert "drawn" not in root
