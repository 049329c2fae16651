"""womm's own options are split from GNU parallel's, which stay as they were given."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from womm.errors import WommError
from womm.files import PARALLEL_OPTIONS
from womm.getopt import BadOption, load_table
from womm.kubectl import KubeChoice
from womm.options import OURS, ParallelOptions, split
from womm.retry import Log
from womm.values import Workers

TABLE = load_table(PARALLEL_OPTIONS, OURS)
THEIR_NAMES = sorted({name for option in TABLE.theirs for name in option.names})
OUR_NAMES = sorted({name for option in OURS for name in option.names})


def understand(line: str | Sequence[str], **environ: str) -> ParallelOptions:
    """Split `line` at blanks, or take the arguments as they are."""
    return split(line.split() if isinstance(line, str) else line, TABLE, environ)


def refusal(line: str | Sequence[str], **environ: str) -> WommError:
    """The error with which `line` is refused; each has a way out."""
    with pytest.raises(WommError) as caught:
        understand(line, **environ)
    assert caught.value.hint
    return caught.value


def test_ours_are_taken_out_and_theirs_stay_as_they_were_given() -> None:
    options = understand("-k --kube-pods 3 --retries=2 --kube-cpu 2 --tag -- echo {} ::: 1")
    assert options == ParallelOptions(
        workers=Workers(command=("parallel", "--", "echo", "{}", ":::", "1"), pods=3, cpu="2"),
        theirs=("-k", "--retries=2", "--tag"),
        command=("echo", "{}", ":::", "1"),
        log=Log(again=("-k", "--kube-pods", "3", "--retries=2", "--kube-cpu", "2", "--tag")),
    )


def test_what_follows_the_separator_is_the_command_whatever_it_looks_like() -> None:
    options = understand("--kube-pods 1 -- --kube-pods 7 -j 4 -- x")
    assert (options.workers.pods, options.command) == (1, ("--kube-pods", "7", "-j", "4", "--", "x"))


def test_an_options_value_is_not_the_separator() -> None:
    options = understand("--kube-pods 1 --wd -- -- x")
    assert (options.theirs, options.command) == (("--wd", "--"), ("x",))
    assert "`--` is missing" in refusal("--kube-pods 1 --wd -- x").message


def test_a_retry_needs_no_separator_where_the_joblog_is_named() -> None:
    options = understand("--kube-pods 1 --retry-failed --joblog f")
    assert (options.retries, options.command, options.theirs) == (
        True,
        (),
        ("--retry-failed", "--joblog", "f"),
    )
    for line in ("--retry-failed", "--joblog f", "--retry-failed --joblog f x", "--resume --joblog f"):
        assert "`--` is missing" in refusal(f"--kube-pods 1 {line}").message
    assert not understand("--kube-pods 1 --retry-failed --joblog f -- x").retries


def test_an_empty_command_is_gnu_parallels_affair() -> None:
    assert understand("--kube-pods 1 --").command == ()


@pytest.mark.parametrize("line", ["--kube-pods 1", "--kube-pods 1 echo x", "", "--kube-pods 1 ::: x"])
def test_a_missing_separator_is_refused(line: str) -> None:
    assert "`--` is missing" in refusal(line).message


@pytest.mark.parametrize("value", ["0", "-1", "x", "", "1.5", "1e3", "٣", "3\n", "00", "9999999"])
def test_pods_are_a_whole_number_above_zero(value: str) -> None:
    assert "--kube-pods" in refusal([f"--kube-pods={value}", "--", "x"]).message
    assert "--kube-pods" in refusal(["--kube-pods", value, "--", "x"]).message


def test_missing_pods_are_refused() -> None:
    assert refusal("-k -- x").message == "--kube-pods is missing: how many pods?"


def test_the_last_of_an_option_counts() -> None:
    assert understand("--kube-pods 3 --kube-pods 4 -j 2 -j 5 -- x").workers.pods == 4
    assert understand("--kube-pods 3 --kube-pods 4 -j 2 -j 5 -- x").workers.slots == 5


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("-j 4", ""),
        ("-j4", ""),
        ("-j=4", ""),
        ("--jobs=4", ""),
        ("--jobs 4", ""),
        ("-P 4", ""),
        ("-P4", ""),
        ("--max-procs 4", ""),
        ("--maxprocs=4", ""),
        ("-kj4", "-k"),
        ("-kuj 4", "-k -u"),
        ("-k -j 4 --tag", "-k --tag"),
        ("+jobs 4", ""),
        ("--procs-per-pod 4", ""),
        ("--procs-per-pod=4", ""),
        ("--procs-per-pod 4 -j 4", ""),
        ("-j 04", ""),
    ],
)
def test_jobs_become_slots_per_pod_and_the_rest_is_kept(given_: str, kept: str) -> None:
    options = understand(f"--kube-pods 2 {given_} -- x")
    assert (options.workers.slots, options.theirs) == (4, tuple(kept.split()))


def test_without_jobs_a_pod_has_one_slot() -> None:
    assert understand("--kube-pods 2 -- x").workers.slots == 1


@pytest.mark.parametrize("value", ["200%", "+1", "-1", "/etc/procs", "0", "00", "1.5", "٣", "4\n"])
@pytest.mark.parametrize("option", ["-j", "--jobs", "-P"])
def test_jobs_that_are_no_whole_number_are_refused_with_the_way_out(option: str, value: str) -> None:
    assert "--procs-per-pod" in refusal(["--kube-pods", "2", option, value, "--", "x"]).hint


@pytest.mark.parametrize("value", ["0", "-1", "x", "200%"])
def test_slots_are_a_whole_number_above_zero(value: str) -> None:
    assert "--procs-per-pod" in refusal(["--kube-pods", "2", f"--procs-per-pod={value}", "--", "x"]).message


def test_slots_that_contradict_jobs_are_refused() -> None:
    assert "contradict" in refusal("--kube-pods 2 -j 3 --procs-per-pod 4 -- x").message


@pytest.mark.parametrize(
    "text", ["1", "500m", "0.5", ".5", "2.", "512Mi", "4Gi", "1e3", "1E3", "1e-3", "5k", "7E", "100n", "10"]
)
def test_a_quantity_is_taken(text: str) -> None:
    assert understand(f"--kube-pods 1 --kube-cpu {text} -- x").workers.cpu == text


@pytest.mark.parametrize(
    "text", ["8000000", "8e6", "8E6", "9000k", "16Mi", "512Mi", ".5Gi", "4G", "1T", "7E"]
)
def test_enough_memory_is_taken(text: str) -> None:
    assert understand(f"--kube-pods 1 --kube-mem {text} -- x").workers.memory == text


@pytest.mark.parametrize("text", ["512", "512m", "900000000u", "4e3", "7999k", "3Mi", "0.001Gi"])
def test_memory_with_which_no_container_starts_is_refused(text: str) -> None:
    error = refusal(f"--kube-pods 1 --kube-mem {text} -- x")
    assert "too little for a pod" in error.message
    assert "512Mi" in error.hint


@pytest.mark.parametrize(
    "option",
    [
        "--fg",
        "--bg",
        "--wait",
        "--id x",
        "--semaphorename x",
        "--st 1",
        "--semaphore",
        "--hgrp",
        "--hostgroups",
    ],
)
def test_what_would_run_jobs_on_this_machine_is_refused(option: str) -> None:
    assert "can't be used with womm parallel" in refusal(f"--kube-pods 1 {option} -- x").message


@pytest.mark.parametrize(("given", "per_host"), [("", False), ("--onall", True), ("--nonall", True)])
def test_a_command_for_each_host_is_told_apart(given: str, per_host: bool) -> None:
    assert understand(f"--kube-pods 1 {given} -- x").per_host is per_host


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "0.0",
        "-1",
        "1x",
        "1 Gi",
        "Gi",
        "1gi",
        "",
        "1K",
        "٣",
        "1\n",
        "1e",
        "1.5.2",
        "$(x)",
        "+1",
        ".",
        "1٣",
        "0e1",
    ],
)
@pytest.mark.parametrize("option", ["--kube-cpu", "--kube-mem"])
def test_what_is_no_quantity_is_refused(option: str, text: str) -> None:
    assert option in refusal(["--kube-pods", "1", option, text, "--", "x"]).message


def test_cpu_and_memory_come_from_the_environment_where_no_option_says_them() -> None:
    assert understand("--kube-pods 1 -- x", WOMM_KUBE_CPU="2", WOMM_KUBE_MEM="1Gi").workers.cpu == "2"
    assert understand("--kube-pods 1 -- x", WOMM_KUBE_CPU="2", WOMM_KUBE_MEM="1Gi").workers.memory == "1Gi"
    assert understand("--kube-pods 1 --kube-cpu 3 -- x", WOMM_KUBE_CPU="2").workers.cpu == "3"
    unset = understand("--kube-pods 1 -- x", WOMM_KUBE_CPU="", WOMM_KUBE_MEM="")
    assert (unset.workers.cpu, unset.workers.memory) == ("1", "512Mi")


def test_a_bad_quantity_of_the_environment_is_refused() -> None:
    # It is the variable that is to be mended.
    for name in ("WOMM_KUBE_CPU", "WOMM_KUBE_MEM"):
        assert refusal("--kube-pods 1 -- x", **{name: "lots"}).message.startswith(f"{name}: 'lots' is no ")
    assert refusal("--kube-pods 1 -- x", WOMM_KUBE_MEM="7").message.startswith("WOMM_KUBE_MEM 7 is too ")


def test_selectors_and_tolerations_may_be_repeated() -> None:
    options = understand(
        "--kube-pods 1 --kube-node-selector a=b --kube-node-selector x.io/y= --kube-toleration t "
        "--kube-toleration x.io/gpu -- x"
    )
    assert dict(options.workers.node_selector) == {"a": "b", "x.io/y": ""}
    assert options.workers.tolerations == ("t", "x.io/gpu")


def test_selectors_and_tolerations_come_from_the_environment_where_no_option_says_them() -> None:
    said = {"WOMM_KUBE_NODE_SELECTOR": "a=b  x.io/y=", "WOMM_KUBE_TOLERATION": "t x.io/gpu"}
    workers = understand("--kube-pods 1 -- x", **said).workers
    assert (workers.node_selector, workers.tolerations) == ({"a": "b", "x.io/y": ""}, ("t", "x.io/gpu"))
    workers = understand("--kube-pods 1 --kube-node-selector c=d --kube-toleration u -- x", **said).workers
    assert (workers.node_selector, workers.tolerations) == ({"c": "d"}, ("u",))
    workers = understand("--kube-pods 1 -- x", WOMM_KUBE_NODE_SELECTOR="", WOMM_KUBE_TOLERATION=" ").workers
    assert (workers.node_selector, workers.tolerations) == ({}, ())


def test_a_bad_label_of_the_environment_is_refused() -> None:
    # It is the variable that is to be mended.
    for name, text in (("WOMM_KUBE_NODE_SELECTOR", "a"), ("WOMM_KUBE_TOLERATION", "/")):
        assert refusal("--kube-pods 1 -- x", **{name: text}).message.startswith(name)


@pytest.mark.parametrize(
    "text",
    ["a", "=b", "a=b c", "a b=c", "a=$(x)", "/a=b", "a/=b", "a=-b", "a=b-", f"a={'x' * 64}", "a=b\n", "ä=b"],
)
def test_what_is_no_label_is_refused_as_a_selector(text: str) -> None:
    assert (
        "--kube-node-selector"
        in refusal(["--kube-pods", "1", "--kube-node-selector", text, "--", "x"]).message
    )


@pytest.mark.parametrize("text", ["", "a b", "=", "a=b", "/x", "x/", "ä", "x\n", "{{ x }}", "x" * 64])
def test_what_is_no_key_is_refused_as_a_toleration(text: str) -> None:
    assert "--kube-toleration" in refusal(["--kube-pods", "1", "--kube-toleration", text, "--", "x"]).message


def test_the_cluster_is_named_as_for_kubectl() -> None:
    options = understand("--kube-pods 1 --namespace n --context c --kubeconfig f --quiet -- x")
    assert (options.kube, options.quiet) == (KubeChoice("n", "c", "f"), True)
    assert understand("--kube-pods 1 -- x").kube == KubeChoice()


def test_n_after_parallel_is_gnu_parallels() -> None:
    options = understand("--kube-pods 1 -n 2 -- x")
    assert (options.theirs, options.kube) == (("-n", "2"), KubeChoice())


@pytest.mark.parametrize(
    "line", ["--help", "-h", "--kube-pods 0 --help", "--help --no-command"[:6], "-k --help x"]
)
def test_help_needs_nothing(line: str) -> None:
    assert understand(line).help


@pytest.mark.parametrize(
    "line",
    ["--citation", "--version", "-V", "--number-of-cores", "--min-version 20130101", "--dry-run x ::: 1",
     "--dr x", "--shellquote", "--version --", "--version -- x", "--record-env"],
)  # fmt: skip
def test_gnu_parallels_answers_need_no_pods(line: str) -> None:
    options = understand(line)
    assert (options.answers, options.help, options.theirs) == (True, False, tuple(line.split()))


def test_an_answer_is_asked_for_without_ours() -> None:
    assert understand("--kube-pods 3 --dry-run -k -- echo ::: 1").theirs == (
        "--dry-run", "-k", "--", "echo", ":::", "1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "option",
    ["-S x", "-Sx", "--sshlogin x", "--sshlogin=x", "--slf x", "--sshloginfile x", "--ssh x", "--semaphore",
     "-J x", "--profile x", "--sshloginf x"],
)  # fmt: skip
def test_what_womm_does_itself_or_cannot_do_is_refused(option: str) -> None:
    error = refusal(f"--kube-pods 1 -k {option} -- x")
    assert error.message == f"{option.split(maxsplit=1)[0]} can't be used with womm parallel"


def test_an_unknown_option_is_left_to_gnu_parallels_own_message() -> None:
    with pytest.raises(BadOption):
        understand("--kube-pods 1 --no-such-option -- x")


def test_the_directory_itself_is_not_made_relative_to_this_machines_home() -> None:
    assert understand("--kube-pods 1 --wd . -- x").theirs == ("--workdir", "./.")
    assert understand("--kube-pods 1 --workdir=. -- x").theirs == ("--workdir", "./.")
    assert understand("--kube-pods 1 --wd ... -- x").theirs == ("--wd", "...")


@given(st.lists(st.binary(min_size=1).filter(lambda b: b"\0" not in b), max_size=5))
def test_bytes_of_any_kind_pass_through(raw: list[bytes]) -> None:
    arguments = [item.decode("utf-8", "surrogateescape") for item in raw]
    options = understand(["--kube-pods", "1", "--tagstring", "\udcff", "--", *arguments])
    assert options.command == tuple(arguments)
    assert options.theirs == ("--tagstring", "\udcff")


def test_no_name_of_ours_hides_one_of_gnu_parallels() -> None:
    # --help is GNU parallel's too, and answered by womm; it is not among OURS.
    assert not set(OUR_NAMES) & {name.lower() for name in THEIR_NAMES}


@pytest.mark.parametrize("name", OUR_NAMES)
def test_no_name_of_ours_abbreviates_one_of_gnu_parallels(name: str) -> None:
    assert [theirs for theirs in THEIR_NAMES if theirs.lower().startswith(name)] == []


@pytest.mark.parametrize("option", TABLE.theirs, ids=lambda option: option.names[0])
def test_every_option_of_gnu_parallel_is_still_its_own(option: object) -> None:
    for name in getattr(option, "names"):  # noqa: B009 - the type's import would say no more
        found = TABLE.letter(name) if len(name) == 1 else TABLE.long(name)
        assert found is option
        assert TABLE.our(name) is None


def test_the_help_names_each_of_our_options() -> None:
    from womm.commands.parallel import help_text

    told = set(re.findall(r"^  --([a-z-]+)", help_text(), re.MULTILINE))
    assert told == {*OUR_NAMES, "help"}


def test_without_a_word_about_the_hub_its_defaults_count() -> None:
    options = understand("--kube-pods 1 -- x")
    assert (options.local, options.rerun) == (0, True)
    assert (options.workers.lost_after, options.workers.transport) == (30, "auto")
    assert (options.grouped, options.transfers, options.per_host) == (True, False, False)


def test_what_the_hub_is_told_is_taken_out() -> None:
    line = "--kube-pods 1 --local-procs 3 --no-rerun --lost-after=7 --transport exec -k -- x"
    options = understand(line)
    assert (options.local, options.rerun) == (3, False)
    assert (options.workers.lost_after, options.workers.transport) == (7, "exec")
    assert options.theirs == ("-k",)


def test_local_jobs_alone_need_no_pods_but_a_word_about_them() -> None:
    options = understand("--kube-pods 0 --local-procs 3 -- x")
    assert (options.workers.pods, options.local) == (0, 3)
    assert "--kube-pods is missing" in refusal("--local-procs 3 -- x").message
    # None here and none there is nobody.
    assert "--kube-pods" in refusal("--kube-pods 0 --local-procs 0 -- x").message


@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "200%", "+1", "٣"])
def test_local_jobs_are_a_whole_number(value: str) -> None:
    assert "--local-procs" in refusal(["--kube-pods", "1", f"--local-procs={value}", "--", "x"]).message


@pytest.mark.parametrize("value", ["-1", "0", "4", "x", "5.5", "5s"])
def test_a_pod_is_given_five_seconds_at_least(value: str) -> None:
    error = refusal(["--kube-pods", "1", f"--lost-after={value}", "--", "x"])
    assert error.message.startswith("--lost-after takes a whole number above 4")
    assert understand("--kube-pods 1 --lost-after 5 -- x").workers.lost_after == 5


@pytest.mark.parametrize("value", ["auto", "websocket", "exec"])
def test_a_transport_is_taken(value: str) -> None:
    assert understand(f"--kube-pods 1 --transport {value} -- x").workers.transport == value


@pytest.mark.parametrize("value", ["ssh", "EXEC", "web", "exec "])
def test_another_transport_is_refused_with_those_that_there_are(value: str) -> None:
    error = refusal(["--kube-pods", "1", "--transport", value, "--", "x"])
    assert "auto, websocket, exec" in error.message
    assert repr(value) in error.message


def test_no_rerun_takes_no_value() -> None:
    with pytest.raises(BadOption):
        understand("--kube-pods 1 --no-rerun=yes -- x")


@pytest.mark.parametrize(
    "given",
    ["-u", "--ungroup", "--ungr", "--lb", "--line-buffer", "--linebuffer", "--line-buffered",
     "--linebuffered", "--latest-line", "--latestline", "--ll", "--tty", "--tmux", "--tmuxpane",
     "-k --lb --tag"],
)  # fmt: skip
def test_output_that_goes_out_while_jobs_run_is_not_grouped(given: str) -> None:
    options = understand(f"--kube-pods 1 {given} -- x")
    assert (options.grouped, options.transfers, options.per_host) == (False, False, False)
    assert options.theirs == tuple(given.split())


def test_an_ungrouping_letter_counts_in_a_bundle_too() -> None:
    assert not understand("--kube-pods 1 -ku -- x").grouped
    assert not understand("--kube-pods 1 -ukj3 -- x").grouped
    # Here the u is -I's value.
    assert understand("--kube-pods 1 -kIu -- x").grouped


@pytest.mark.parametrize(
    "given", ["--group", "--tag", "-k", "--keep-order", "--files", "--results d", "--joblog u", "-I u", "-v"]
)
def test_other_output_is_grouped(given: str) -> None:
    assert understand(f"--kube-pods 1 {given} -- x").grouped


@pytest.mark.parametrize(
    "given",
    ["--tf x", "--transferfile x", "--transfer-file x", "--transferfiles x", "--transfer", "--return x",
     "--trc x", "--bf x", "--basefile x", "--cleanup", "--transferf x", "--basef x", "--clean"],
)  # fmt: skip
def test_files_that_gnu_parallel_brings_to_the_pod_and_back_are_told_apart(given: str) -> None:
    options = understand(f"--kube-pods 1 {given} -- x")
    assert (options.transfers, options.grouped) == (True, True)


@pytest.mark.parametrize("given", ["", "--tag", "--tmpdir x", "--results x", "--retries 2"])
def test_other_options_transfer_nothing(given: str) -> None:
    assert not understand(f"--kube-pods 1 {given} -- x").transfers


def test_what_stands_in_the_command_is_no_option() -> None:
    options = understand("--kube-pods 1 -- x -u --lb --trc y --onall --local-procs 3 --no-rerun")
    assert (options.grouped, options.transfers, options.per_host) == (True, False, False)
    assert (options.local, options.rerun) == (0, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1.5m", 90),
        ("1h30m", 5400),
        ("1D", 86400),
        ("1m1", 61),
    ],
)
def test_the_pending_timeout_is_written_as_gnu_parallel_writes_times(text: str, seconds: float) -> None:
    assert understand(f"--kube-pods 1 --pending-timeout {text} -- x").workers.pending_timeout == seconds
    assert understand("--kube-pods 1 -- x").workers.pending_timeout == 300


@pytest.mark.parametrize("text", ["x", "-1", "5w", "1:30", "m", "1 m", ".", "1e3", "1//2"])
def test_what_is_no_time_is_refused(text: str) -> None:
    error = refusal(["--kube-pods", "1", f"--pending-timeout={text}", "--", "x"])
    assert error.message == f"--pending-timeout takes a time, not {text!r}"
    assert "1h30m" in error.hint
