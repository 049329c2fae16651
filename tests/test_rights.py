"""The questions after a user's rights, and their answers."""

from __future__ import annotations

import json

from womm.rights import ASYNC, EAGER, SERVER, TASK, USER, Right, refused, reviews


def test_each_verb_on_each_resource_is_a_question_of_its_own() -> None:
    rights = [Right("apps", "deployments", ("get", "create"), "r"), Right("", "pods/exec", ("create",), "r")]
    document = json.loads(reviews(rights, "team"))
    asked = [item["spec"]["resourceAttributes"] for item in document["items"]]
    apps = {"namespace": "team", "group": "apps", "resource": "deployments", "subresource": ""}
    assert asked == [
        {**apps, "verb": "get"},
        {**apps, "verb": "create"},
        {"namespace": "team", "group": "", "resource": "pods", "subresource": "exec", "verb": "create"},
    ]
    assert {item["kind"] for item in document["items"]} == {"SelfSubjectAccessReview"}


def test_what_is_not_granted_is_named() -> None:
    # A server that leaves `false` out prints nothing for it.
    answers = "get deployments/ true\ncreate deployments/ false\ncreate pods/exec \n"
    assert refused(answers) == ["create deployments", "create pods/exec"]


def test_exec_is_asked_for_by_both_verbs_that_kubernetes_knows_it_by() -> None:
    [verbs] = [right.verbs for right in TASK if right.resource == "pods/exec"]
    assert set(verbs) == {"get", "create"}
    assert set(TASK) < set(USER)


def test_what_only_eager_shares_take_is_among_the_users_rights() -> None:
    names = {f"{verb} {right.resource}" for right in USER for verb in right.verbs}
    assert names > EAGER
    assert not EAGER & ASYNC


def test_who_runs_a_task_renews_its_lease_and_only_its_user_looks_at_those_of_others() -> None:
    def verbs(rights: tuple[Right, ...], resource: str) -> set[str]:
        return {verb for right in rights if right.resource == resource for verb in right.verbs}

    assert verbs(TASK, "leases") == {"get", "create", "patch", "delete"}
    assert verbs(USER, "leases") == {"get", "create", "patch", "delete", "list"}
    assert (verbs(TASK, "jobs"), verbs(USER, "jobs")) == (set(), {"get", "list", "watch", "create", "delete"})
    expected = {f"{verb} {resource}" for resource in ("jobs", "leases") for verb in verbs(USER, resource)}
    assert expected == ASYNC


def test_the_file_server_may_read_no_secret_and_make_nothing() -> None:
    granted = {f"{verb} {right.resource}" for right in SERVER for verb in right.verbs}
    verbs = {name.partition(" ")[0] for name in granted}
    assert verbs == {"list", "delete"}
    assert {name for name in granted if name.endswith("secrets")} == {"delete secrets"}
