"""options.json: GNU parallel's own option table, taken from the vendored script.

The facts about parsing are asked of the real Getopt::Long with the real table, so that a version
that reads its command line otherwise fails here and not in front of a user.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from womm import options

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / "tools" / "parallel-options"
PARALLEL = ROOT / "womm" / "vendor" / "parallel"


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "womm" / "vendor" / "options.json").read_text())
    return loaded


def parse(*arguments: str) -> dict[str, Any]:
    """How Getopt::Long reads `arguments` with the vendored script's table and configuration."""
    done = subprocess.run([TOOL, PARALLEL, "--parse", *arguments], capture_output=True, text=True, check=True)
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def entry(table: dict[str, Any], name: str) -> dict[str, Any]:
    """The one option of `table` that is called `name`."""
    (found,) = [option for option in table["options"] if name in option["names"]]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("name", "value", "type_", "names"),
    [
        ("jobs", "required", "string", ["max-procs", "maxprocs", "P", "jobs", "j"]),
        ("citation", "none", None, ["bibtex", "citation"]),
        ("wd", "required", "string", ["work-dir", "workdir", "wd"]),
        ("i", "optional", "string", ["replace", "i"]),
        ("e", "optional", "string", ["eof", "e"]),
        ("l", "optional", "float", ["max-lines", "maxlines", "l"]),
        ("nice", "required", "integer", ["nice"]),
        ("dry-run", "none", None, ["dry-run", "dryrun", "dr"]),
        ("k", "none", None, ["keep-order", "keeporder", "k"]),
        ("0", "none", None, ["null", "0"]),
    ],
)
def test_an_option_is_known_with_all_its_names_and_what_value_it_takes(
    table: dict[str, Any], name: str, value: str, type_: str | None, names: list[str]
) -> None:
    option = entry(table, name)
    assert (option["value"], option["type"], option["names"]) == (value, type_, names)


def test_only_template_takes_key_and_value(table: dict[str, Any]) -> None:
    assert [o["names"] for o in table["options"] if o["key_value"]] == [["template", "tmpl"]]


def test_no_name_belongs_to_two_options(table: dict[str, Any]) -> None:
    names = [name for option in table["options"] for name in option["names"]]
    assert len(names) == len(set(names)) > 150


@pytest.mark.parametrize("name", sorted({*options._ANSWERS, *options.REFUSED, "jobs", "workdir"}))
def test_an_option_that_womm_treats_in_its_own_way_is_one_of_gnu_parallels(
    table: dict[str, Any], name: str
) -> None:
    assert entry(table, name)


def test_no_option_of_womms_own_hides_one_of_gnu_parallels(table: dict[str, Any]) -> None:
    theirs = {name for option in table["options"] for name in option["names"]}
    assert not theirs & {name for option in options.OURS for name in option.names}


def test_gnu_parallels_own_citation_dialogue_is_there(tmp_path: Path) -> None:
    done = subprocess.run(
        ["perl", PARALLEL, "--citation"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert "@software{tange_" in done.stderr
    assert "Type: 'will cite' and press enter." in done.stdout


def test_the_configuration_is_bundling_and_require_order(table: dict[str, Any]) -> None:
    assert table["config"] == {
        "auto_abbrev": True,
        "bundling": True,
        "configure": ["bundling", "require_order"],
        "gnu_compat": False,
        "ignore_case": True,
        "long_prefix_pattern": "(--)",
        "pass_through": False,
        "prefix_pattern": r"(--|-|\+)",
        "require_order": True,
    }


@pytest.mark.parametrize(
    ("arguments", "options", "rest"),
    [
        ("-j4 cmd", [["max-procs", "4"]], "cmd"),
        ("-j 4 cmd", [["max-procs", "4"]], "cmd"),
        ("-j=4 cmd", [["max-procs", "=4"]], "cmd"),
        ("--jobs=4 cmd", [["max-procs", "4"]], "cmd"),
        ("--jobs 4 cmd", [["max-procs", "4"]], "cmd"),
        ("--JOBS 4 cmd", [["max-procs", "4"]], "cmd"),
        ("--j 4 cmd", [["max-procs", "4"]], "cmd"),
        ("-kj4 cmd", [["keep-order", "1"], ["max-procs", "4"]], "cmd"),
        ("-l4k cmd", [["max-lines", "4"], ["keep-order", "1"]], "cmd"),
        ("-l cmd", [["max-lines", "0"]], "cmd"),
        ("-i cmd arg", [["replace", "cmd"]], "arg"),
        ("-i -k cmd", [["replace", ""], ["keep-order", "1"]], "cmd"),
        ("-n -- cmd", [["max-args", "--"]], "cmd"),
        ("+jobs 4 cmd", [["max-procs", "4"]], "cmd"),
        ("--work . cmd", [["work-dir", "."]], "cmd"),
        ("--tmpl a=b cmd", [["template", "a=b"]], "cmd"),
        ("-k -- -j4 cmd", [["keep-order", "1"]], "-j4 cmd"),
        ("-k cmd -j4", [["keep-order", "1"]], "cmd -j4"),
        ("-k ::: -j4", [["keep-order", "1"]], "::: -j4"),
        ("- cmd", [], "- cmd"),
    ],
)
def test_getopt_long_reads(arguments: str, options: list[list[str]], rest: str) -> None:
    parsed = parse(*arguments.split())
    assert parsed == {"ok": True, "options": options, "rest": rest.split(), "messages": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--job 4 cmd", "Option job is ambiguous (joblog, jobs)"),
        ("--no-such cmd", "Unknown option: no-such"),
        ("-wd . cmd", "Unknown option: w"),
        ("--bar=3 cmd", "Option bar does not take an argument"),
        ("--load", "Option load requires an argument"),
        ("--jobs= cmd", "Option jobs requires an argument"),
    ],
)
def test_getopt_long_refuses(arguments: str, message: str) -> None:
    parsed = parse(*arguments.split())
    assert (parsed["ok"], parsed["messages"]) == (False, [message])


def test_gnu_parallel_itself_reads_as_the_table_says(tmp_path: Path) -> None:
    argv = [PARALLEL, "--plain", "--dr", "-kj1", "--arg-s", ",", "echo", "-j4", ",", "a", ":::"]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        argv, capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL, check=False
    )
    assert (done.returncode, done.stdout) == (0, "echo -j4 a\necho -j4 ':::'\n"), done.stderr


def test_a_script_that_is_not_gnu_parallel_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("#!/usr/bin/perl\nprint 1;\n")
    done = subprocess.run([TOOL, other], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "parallel-options: no options_hash: is this GNU parallel?\n"
