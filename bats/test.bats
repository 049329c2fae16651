#!/usr/bin/env bats
# tools/test: a copy of it in a checkout of its own, with tests, a bats and a sandbox that the tests here make up.

setup() {
  load pod
  local root
  root=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
  PYTHON=$root/.venv/bin/python
  [[ -x $PYTHON ]] || PYTHON=python3
  CHECKOUT=$BATS_TEST_TMPDIR/checkout
  mkdir -p "$CHECKOUT"/{tools,tests/cluster,bats,sandbox,bin}
  cp "$root"/tools/{test,on-cluster} "$CHECKOUT/tools/"
  printf '#!/bin/sh\nexit 0\n' >"$CHECKOUT/sandbox/up"
  printf '#!/bin/sh\necho export IN_SANDBOX=yes WOMM_SANDBOX_REGISTRY=registry/\n' >"$CHECKOUT/sandbox/env"
  chmod +x "$CHECKOUT"/sandbox/*
  PATH=$CHECKOUT/bin:$PATH
  unset WOMM_KUBE_CONTEXT NODES
  has_tests tests/test_unit.py 'def test_one(): pass' 'def test_two(): pass'
  has_lanes 'assert os.environ["IN_SANDBOX"] == "yes"' 'assert "IN_SANDBOX" in os.environ' 'assert "IN_SANDBOX" in os.environ'
  bats_reports 0 1..3 'ok 1 a' 'ok 2 b' 'ok 3 c # in 7 ms'
}

# has_tests: make the Python file $1 of the lines $2….
has_tests() {
  local file=$CHECKOUT/$1
  shift
  printf '%s\n' "$@" >"$file"
}

# has_lanes: make cluster tests that do $1 (alone), $2 (in one lane) and $3 (in another), and one for the second node.
has_lanes() {
  has_tests tests/cluster/test_cluster.py 'import os, pathlib, pytest, time' \
    'here = pathlib.Path(__file__).parent' \
    'def until(name):' '    while not (here / name).exists(): time.sleep(0.1)' \
    '@pytest.mark.alone("")' "def test_alone(): $1" "def test_first(): $2" "def test_second(): $3" \
    '@pytest.mark.node2' 'def test_there(): assert os.environ["NODES"] == "2"'
}

# bats_reports: have a bats that prints the TAP lines $2… and exits $1.
bats_reports() {
  {
    printf '#!/bin/sh\ncat <<TAP\n'
    printf '%s\n' "${@:2}"
    printf 'TAP\nexit %s\n' "$1"
  } >"$CHECKOUT/bin/bats"
  chmod +x "$CHECKOUT/bin/bats"
}

# run_tests: run the copy with the arguments $@.
run_tests() {
  run "$PYTHON" "$CHECKOUT/tools/test" "$@"
}

@test "test: all four kinds run; each has its line, and the last line is the sum" {
  run_tests
  [[ $status -eq 0 ]]
  [[ ${lines[-5]} == 'unit: 2 passed, 0 failed' ]]
  [[ ${lines[-4]} == 'bats: 3 passed, 0 failed' ]]
  [[ ${lines[-3]} == 'cluster: 3 passed, 0 failed' ]]
  [[ ${lines[-2]} == 'nfs: 1 passed, 0 failed' ]]
  [[ ${lines[-1]} == '9 passed, 0 failed' ]]
}

@test "test: the sandbox is made while other kinds run, unless nobody asks for a cluster" {
  # The first call waits until unit tests run; the cluster's own finds it up.
  cat >"$CHECKOUT/sandbox/up" <<UP
#!/bin/sh
echo "\${NODES-} \$*" >>"$CHECKOUT/ups"
[ "\$(wc -l <"$CHECKOUT/ups")" -gt 1 ] || until [ -e "$CHECKOUT/unit-runs" ]; do sleep 0.1; done
UP
  has_tests tests/test_unit.py 'import pathlib, time' 'def test_one():' '    here = pathlib.Path(__file__).parents[1]' \
    '    (here / "unit-runs").touch()' '    while not (here / "ups").exists(): time.sleep(0.1)'
  run_tests
  [[ $status -eq 0 ]]
  # Of the second node only the disk is made beside them. The cluster tests' own: those alone, and those in lanes.
  [[ $(<"$CHECKOUT/ups") == $'2 --disk\n \n \n2 ' ]]
  rm "$CHECKOUT/ups"
  has_tests tests/test_unit.py 'def test_one(): pass'
  run_tests unit bats
  [[ $status -eq 0 && ! -e $CHECKOUT/ups ]]
}

@test "test: cluster tests run in lanes at once, after those that must be alone" {
  has_lanes 'assert not (here / "one").exists() and not (here / "two").exists()' \
    '(here / "one").touch(); until("two")' '(here / "two").touch(); until("one")'
  run_tests cluster
  [[ $status -eq 0 && ${lines[-1]} == '3 passed, 0 failed' ]]
}

@test "test: the tests of a group stay in one lane" {
  has_tests tests/cluster/test_cluster.py 'import os, pathlib, pytest, time' \
    '@pytest.mark.alone("")' 'def test_alone(): pass' \
    '@pytest.mark.xdist_group("one")' '@pytest.mark.parametrize("number", range(6))' 'def test_group(number):' \
    '    with (pathlib.Path(__file__).parent / "lanes").open("a") as file:' \
    '        print(os.environ["PYTEST_XDIST_WORKER"], file=file)' '    time.sleep(0.2)'
  run_tests cluster
  [[ $status -eq 0 && ${lines[-1]} == '7 passed, 0 failed' ]]
  [[ $(sort -u "$CHECKOUT/tests/cluster/lanes" | wc -l) -eq 1 ]]
}

@test "test: what a lane said is printed, and its failures count" {
  has_lanes pass pass 'assert "told" == 1'
  run_tests cluster
  [[ $status -eq 1 && $output == *"AssertionError: assert 'told' == 1"* ]]
  [[ $output == *$'\nFAILED tests.cluster.test_cluster.test_second\ncluster: 2 passed, 1 failed\n2 passed, 1 failed' ]]
}

@test "test: lanes in which nothing ran fail the run" {
  has_tests tests/cluster/test_cluster.py 'import pytest' '@pytest.mark.alone("")' 'def test_alone(): pass'
  run_tests cluster
  [[ $status -eq 1 && ${lines[-2]} == 'cluster: 1 passed, 1 failed (no tests ran, exit status 5)' ]]
}

@test "test: cluster tests that are chosen, or on a cluster of the caller's, run one after the other" {
  has_lanes pass '(here / "one").touch()' 'assert (here / "one").exists()'
  run_tests cluster -- -k 'first or second'
  [[ $status -eq 0 && ${lines[-1]} == '2 passed, 0 failed' ]]
  printf '#!/bin/sh\n' >"$CHECKOUT/bin/kubectl"
  cp "$CHECKOUT/bin/kubectl" "$CHECKOUT/bin/docker"
  chmod +x "$CHECKOUT"/bin/{kubectl,docker}
  rm "$CHECKOUT/tests/cluster/one"
  WOMM_KUBE_CONTEXT=mine WOMM_TEST_PREFIX=p/ run_tests cluster
  [[ $status -eq 0 && ${lines[-1]} == '3 passed, 0 failed' ]]
}

@test "test: the lanes end with a run that is interrupted" {
  local tests=$CHECKOUT/tests/cluster status=0 tool
  has_lanes pass '(here / "one").write_text(str(os.getpid())); time.sleep(600)' \
    '(here / "two").write_text(str(os.getpid())); time.sleep(600)'
  setsid "$PYTHON" "$CHECKOUT/tools/test" cluster >"$BATS_TEST_TMPDIR/said" 2>&1 3>&- &
  tool=$!
  eventually test -s "$tests/one"
  eventually test -s "$tests/two"
  # As a terminal does.
  kill -INT -- "-$tool"
  wait "$tool" || status=$?
  [[ $status -eq 130 && $(tail -n 1 "$BATS_TEST_TMPDIR/said") == 'test: interrupted' ]]
  eventually test ! -e "/proc/$(<"$tests/one")"
  eventually test ! -e "/proc/$(<"$tests/two")"
}

@test "test: bats and unit tests run beside each other, each told in one piece" {
  printf '#!/bin/sh\necho 1..1; until [ -e "%s" ]; do sleep 0.1; done; echo ok 1 a\n' "$CHECKOUT/unit-runs" >"$CHECKOUT/bin/bats"
  has_tests tests/test_unit.py 'import pathlib, time' 'def test_one():' '    (pathlib.Path(__file__).parents[1] / "unit-runs").touch()' \
    '    time.sleep(1)'
  run_tests unit bats
  [[ $status -eq 0 && $output == *'1 passed in '*$'\n1..1\nok 1 a\n'* ]]
}

@test "test: the first kind fails and the others run all the same" {
  has_tests tests/test_unit.py 'def test_one(): assert False' 'def test_two(): pass'
  run_tests
  [[ $status -eq 1 ]]
  [[ ${lines[-5]} == 'unit: 1 passed, 1 failed' ]]
  [[ ${lines[-1]} == '8 passed, 1 failed' ]]
}

@test "test: a failing bats test is counted" {
  bats_reports 1 1..2 'ok 1 a' 'not ok 2 b' '# why'
  run_tests bats
  [[ $status -eq 1 ]]
  [[ ${lines[-1]} == '1 passed, 1 failed' ]]
}

@test "test: what failed is told once more at the end, of all kinds" {
  has_tests tests/test_unit.py 'def test_one(): assert False'
  bats_reports 1 1..3 '# of another' 'not ok 1 a' '# why' 'ok 2 b' '# of b' 'not ok 3 c'
  run_tests unit bats
  [[ $output == *$'\nFAILED tests.test_unit.test_one\nnot ok 1 a\n# why\nnot ok 3 c\nunit: 0 passed, 1 failed\n'* ]]
}

@test "test: a skipped test fails the run and is named as skipped" {
  has_tests tests/test_unit.py 'import pytest' '@pytest.mark.skip' 'def test_one(): pass'
  run_tests unit
  [[ $status -eq 1 ]]
  [[ ${lines[-2]} == 'unit: 0 passed, 0 failed, 1 skipped'* ]]
}

@test "test: a test that bats skips fails the run" {
  bats_reports 0 1..2 'ok 1 a' 'ok 2 b # skip no reason'
  run_tests bats
  [[ $status -eq 1 ]]
  [[ ${lines[-2]} == 'bats: 1 passed, 0 failed, 1 skipped'* ]]
}

@test "test: a bats that ends before its plan is done fails the run" {
  bats_reports 0 1..5 'ok 1 a'
  run_tests bats
  [[ $status -eq 1 ]]
  [[ ${lines[-2]} == 'bats: 1 passed, 1 failed (1 of 5 tests ran)' ]]
}

@test "test: a kind without tests fails the run" {
  rm "$CHECKOUT/tests/test_unit.py"
  run_tests unit
  [[ $status -eq 1 ]]
  [[ ${lines[-2]} == 'unit: 0 passed, 1 failed (no tests ran'* ]]
  [[ ${lines[-1]} == '0 passed, 1 failed' ]]
}

@test "test: a kind that dies without a report fails the run" {
  printf '#!/bin/sh\nexit 7\n' >"$CHECKOUT/bin/bats"
  run_tests bats
  [[ $status -eq 1 ]]
  [[ ${lines[-2]} == 'bats: 0 passed, 1 failed (no report, exit status 7)' ]]
}

@test "test: passed tests do not outweigh an exit status that is not 0" {
  bats_reports 3 1..1 'ok 1 a'
  run_tests bats
  [[ $status -eq 1 ]]
  [[ ${lines[-2]} == 'bats: 1 passed, 1 failed (exit status 3)' ]]
}

@test "test: a sandbox that does not come up is one failure of each kind, and the other kinds count" {
  printf '#!/bin/sh\nexit 4\n' >"$CHECKOUT/sandbox/up"
  run_tests
  [[ $status -eq 1 ]]
  [[ ${lines[-3]} == 'cluster: 0 passed, 1 failed (no report, exit status 4)' ]]
  [[ ${lines[-2]} == 'nfs: 0 passed, 1 failed (no report, exit status 4)' ]]
  [[ ${lines[-1]} == '5 passed, 2 failed' ]]
}

@test "test: an environment of the sandbox that can't be had is a failure" {
  printf '#!/bin/sh\nexit 4\n' >"$CHECKOUT/sandbox/env"
  run_tests cluster
  [[ $status -eq 1 ]]
  [[ ${lines[-1]} == '0 passed, 1 failed' ]]
}

@test "test: arguments after -- reach pytest" {
  run_tests unit -- -k two
  [[ $status -eq 0 ]]
  [[ ${lines[-1]} == '1 passed, 0 failed' ]]
}

@test "test: an unknown kind is refused" {
  run_tests integration
  [[ $status -eq 2 ]]
  [[ $output == *'no kind of tests: integration'* ]]
}
