"""Manifests: what stands in them, that values stay values, and that pods may do no more than they must."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Hermetic
from hypothesis import given, settings
from hypothesis import strategies as st

from womm import __version__
from womm.errors import WommError
from womm.files import TEMPLATES
from womm.manifests import (
    CLAIM_AGE,
    CoordinatorSpec,
    Nfs,
    ServerSpec,
    Share,
    TaskSpec,
    coordinator_manifest,
    lease_manifest,
    literal,
    pod_manifest,
    quote,
    server_manifest,
    task_manifest,
    user_role,
)
from womm.nfs import Keys, NfsServer

GOLDEN = Path(__file__).parent / "golden"
SHARE = Share("10.0.0.7", "registry.example.com/womm-server:1@sha256:ab", "s3cret", "/home/ann/work", "300Mi")
TASK = TaskSpec(
    id="abcdefgh",
    directory="/home/ann/work",
    command="parallel -- wc -l {}",
    image="registry.example.com/team/work@sha256:cd",
    arch="amd64",
    pods=3,
    cpu="500m",
    memory="1Gi",
    uid=1001,
    gid=1002,
    user="ann",
    home="/home/ann",
    machine="ab12",
    kind="none",
)
SHARED = dataclasses.replace(TASK, share=SHARE, kind="eager")
FULL = dataclasses.replace(
    SHARED, node_selector=(("disk", "ssd"), ("zone", "1")), tolerations=("gpu", "example.com/spot")
)
#: The same directory over NFS: mounted by the pods themselves, and by a claim.
OVER_NFS = dataclasses.replace(
    TASK, nfs=Nfs("10.96.0.7", "0123456789abcdef" * 2, "/home/ann/my work"), kind="lazy"
)
BY_CLAIM = dataclasses.replace(
    OVER_NFS, nfs=Nfs("10.96.0.7", "01234567890123456789012345678901", "/home/ann", "womm-nfs"), kind="eager"
)
BACK = dataclasses.replace(
    TASK, share=dataclasses.replace(SHARE, back=True), kind="syncback", cpu_limit="500m"
)
SERVER = ServerSpec(namespace="team", image="registry.example.com/womm-server:1@sha256:ab", arch="amd64")

NFS = ServerSpec(
    namespace="team",
    image=SERVER.image,
    arch="amd64",
    size="50Gi",
    nfs=NfsServer(
        "womm-nfs-team",
        "registry.example.com/womm-nfs:1@sha256:ef",
        Keys("CLIENT\n", "ssh-ed25519 AAAC client\n", "HOST\n", "ssh-ed25519 AAAH host\n"),
        clients=("192.0.2.7",),
        pod_ranges=("10.1.0.0/24",),
        tunnels=("10.1.0.0", "10.1.0.1"),
        address="10.0.0.8",
    ),
)

COORDINATOR = CoordinatorSpec("abcdefgh", SERVER.image, "amd64")

#: All of Unicode that has a UTF-8 form.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NASTY = [
    "", " ", "~", "null", "yes", "1", "1.0", "0x1", "1_0", "- a", "a: b", "#", "a #b", "'", '"', "\\", "\\n",
    "{% raw %}", "{#", "\t", "\n", "\r\n", "\0", "\x7f", "\x85", "\xa0", "\u2028", "\u2029", "\ufeff",
    "\U0001f600", "\U0010ffff", "é", "$(HOME)", "$$(HOME)", "---", "...", "%YAML 1.2", "!!str", "&a",
    "2001-01-01", "<<", "=", "|", ">", "?", "a\u0300", "*a", "\uffff", "\ufffe", "{{ 1 }}",
]  # fmt: skip


def documents(manifest: str) -> dict[str, Any]:
    """The manifest's objects by kind, as a YAML parser reads them."""
    found = list(yaml.load_all(manifest, Loader=yaml.CSafeLoader))
    assert len({document["kind"] for document in found}) == len(found)
    return {document["kind"]: document for document in found}


def of_server(kind: str, name: str = "womm-server", server: ServerSpec = SERVER) -> dict[str, Any]:
    """One of the objects that a namespace needs."""
    found = yaml.load_all(server_manifest(server), Loader=yaml.CSafeLoader)
    (wanted,) = (d for d in found if (d["kind"], d["metadata"]["name"]) == (kind, name))
    assert isinstance(wanted, dict)
    return wanted


def pod(task: TaskSpec) -> dict[str, Any]:
    """The specification of a task's pods."""
    spec = documents(task_manifest(task))["Deployment"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("task.yaml", lambda: task_manifest(TASK)),
        ("task-with-share.yaml", lambda: task_manifest(FULL)),
        ("task-with-syncback.yaml", lambda: task_manifest(BACK)),
        ("task-over-nfs.yaml", lambda: task_manifest(OVER_NFS)),
        ("task-by-claim.yaml", lambda: task_manifest(BY_CLAIM)),
        ("server.yaml", lambda: server_manifest(SERVER)),
        ("server-with-nfs.yaml", lambda: server_manifest(NFS)),
        ("coordinator.yaml", lambda: coordinator_manifest(FULL, COORDINATOR)),
        ("lease.yaml", lambda: lease_manifest(TASK, "here", 180, "2001-02-03T04:05:06.000007Z")),
    ],
)
def test_the_manifest_is_the_one_that_was_looked_at(name: str, manifest: Any) -> None:
    # The version and the text of the script change for reasons of their own.
    from womm.manifests import script

    init = quote(literal(script("pod-init.pl")))
    shown = manifest().replace(quote(__version__), '"VERSION"').replace(init, '"POD-INIT"')
    assert shown == (GOLDEN / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("text", NASTY)
def test_a_nasty_value_stays_what_it_is(text: str) -> None:
    # Beside a line break, YAML would swallow blanks.
    for value in (text, f"a {text} b"):
        assert yaml.load(f"a: {{b: {quote(value)}}}", Loader=yaml.CSafeLoader) == {"a": {"b": value}}
        assert len(quote(value).splitlines()) == 1


@settings(max_examples=500)
@given(TEXT)
def test_a_quoted_text_is_read_as_itself_by_a_yaml_parser(text: str) -> None:
    quoted = quote(text)
    assert yaml.load(f"a: {{b: {quoted}}}", Loader=yaml.CSafeLoader) == {"a": {"b": text}}
    assert len(quoted.splitlines()) == 1


@given(st.one_of(st.booleans(), st.integers(), st.none(), st.lists(TEXT), st.dictionaries(TEXT, TEXT)))
def test_other_values_are_read_as_themselves(value: object) -> None:
    assert yaml.load(quote(value), Loader=yaml.CSafeLoader) == value


def test_kubectl_reads_quoted_values_as_themselves(hermetic: Hermetic, kubectl: str) -> None:
    keys = {f"k{index}": text for index, text in enumerate(NASTY)}
    # One of each block of 61 characters, and all around the borders of what YAML takes as it is.
    points = [*range(0x300), *range(0x300, 0x110000, 61), *range(0xFE00, 0x10100), *range(0x2000, 0x2100)]
    keys["all"] = "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
    data = "".join(f"  {key}: {quote(text)}\n" for key, text in keys.items())
    manifest = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata:\n{data}"
    # Without a cluster kubectl reads a file only for what it changes --local.
    argv = [kubectl, "annotate", "--local", "-f", "-", "a=b", "-o", "json"]
    done = subprocess.run(argv, input=manifest.encode(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["data"] == keys


@pytest.mark.parametrize(
    "manifest",
    [task_manifest(FULL), server_manifest(SERVER), server_manifest(NFS)],
    ids=["task", "server", "nfs"],
)
def test_kubectl_reads_the_manifest_as_the_yaml_parser_does(
    hermetic: Hermetic, kubectl: str, manifest: str
) -> None:
    for text in manifest.split("\n---\n"):
        document = yaml.load(text, Loader=yaml.CSafeLoader)
        # Kinds that kubectl doesn't know would need a cluster; these it knows.
        argv = [kubectl, "annotate", "--local", "-f", "-", "--overwrite", "a=b", "-o", "json"]
        done = subprocess.run(argv, input=yaml.safe_dump(document).encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        raw = subprocess.run(argv, input=text.encode(), capture_output=True, check=False)
        assert raw.returncode == 0, raw.stderr
        assert json.loads(raw.stdout) == json.loads(done.stdout)


@pytest.mark.parametrize("text", ["\udcff", "a\udc80b"])
def test_bytes_that_are_no_utf8_are_refused(text: str) -> None:
    with pytest.raises(WommError, match="not valid UTF-8"):
        quote(text)
    with pytest.raises(WommError, match="not valid UTF-8"):
        task_manifest(dataclasses.replace(TASK, directory=f"/home/{text}"))


@settings(max_examples=100)
@given(text=TEXT)
def test_every_text_of_a_task_stays_a_text(text: str) -> None:
    task = dataclasses.replace(
        FULL,
        directory=text,
        command=text,
        image=text,
        arch=text,
        cpu=text,
        memory=text,
        user=text,
        home=text,
        machine=text,
        kind=text,
        node_selector=((text, text),),
        tolerations=(text,),
        share=Share(text, text, text, text, text),
    )
    found = documents(task_manifest(task))
    assert found["Secret"]["stringData"] == {"password": text}
    deployment = found["Deployment"]
    assert deployment["metadata"]["annotations"]["womm.dev/directory"] == text
    for name in ("command", "machine", "share"):
        assert deployment["metadata"]["annotations"][f"womm.dev/{name}"] == text
    spec = deployment["spec"]["template"]["spec"]
    assert spec["nodeSelector"][text] == text
    assert spec["tolerations"] == [{"key": text, "operator": "Exists"}]
    (init,), (worker,) = spec["initContainers"], spec["containers"]
    assert (init["image"], worker["image"]) == (text, text)
    assert {"name": "WOMM_SERVER", "value": literal(text)} in init["env"]
    assert worker["volumeMounts"] == [{"name": "share", "mountPath": text, "subPath": "files"}]
    assert worker["resources"]["requests"] == {"cpu": text, "memory": text, "ephemeral-storage": text}
    assert [entry["value"] for entry in worker["env"]] == [text.replace("$", "$$")] * 3


def test_kubernetes_expands_no_variable_in_commands_and_environment() -> None:
    spec = pod(dataclasses.replace(SHARED, home="/home/$(PATH)", user="$$(A)"))
    (worker,) = spec["containers"]
    env = {entry["name"]: entry["value"] for entry in worker["env"]}
    # https://kubernetes.io/docs/reference/generated/kubernetes-api/: $$ stands for one $.
    assert env == {"HOME": "/home/$$(PATH)", "USER": "$$$$(A)", "LOGNAME": "$$$$(A)"}
    unescaped = [re.sub(r"\$\$", "", part) for part in worker["command"]]
    assert not any("$" in part for part in unescaped)


@given(TEXT)
def test_a_literal_text_is_what_kubernetes_makes_of_it(text: str) -> None:
    assert expand(literal(text)) == text


def expand(text: str) -> str:
    """What the kubelet makes of a value in which it may expand $(A), with A=expanded."""
    # k8s.io/kubernetes/third_party/forked/golang/expansion/expand.go
    return re.sub(r"\$(\$|\(A\))", lambda m: "$" if m[1] == "$" else "expanded", text)


def test_braces_in_values_are_not_evaluated() -> None:
    for text in ("{{ 7 * 7 }}", "{% for x in y %}", "{# gone #}", "{{ task.share }}"):
        task = dataclasses.replace(TASK, command=text)
        annotations = documents(task_manifest(task))["Deployment"]["metadata"]["annotations"]
        assert annotations["womm.dev/command"] == text


def test_every_value_in_the_templates_of_yaml_passes_the_quoting_filter() -> None:
    #: Numbers that the specs hold as such, and macros of the templates, which quote inside.
    exempt = {"port", "task.pods", "task.uid", "task.gid", "labels()", "unprivileged()"}
    macros = ("resources(task)", "access(task)", "unprivileged()")
    exempt |= {f"{macro} | trim | indent(4)" for macro in macros}
    # A comment, whose text is our own.
    exempt.add("right.reason")
    exempt |= {"nfs_port", "ssh_port", "nfs_labels()"}
    exempt |= {
        f'account("womm-{who}", {whose}_rights)'
        for who, whose in (("server", "its"), ("coordinator", "task"))
    }
    expressions = [
        expression.strip()
        for template in sorted(TEMPLATES.glob("*.yaml.j2"))
        for expression in re.findall(r"\{\{(.*?)\}\}", template.read_text(encoding="utf-8"), re.DOTALL)
    ]
    assert len(expressions) > 20
    assert [e for e in expressions if not re.search(r"\| q$", e) and e not in exempt] == []


@pytest.mark.parametrize("task", [TASK, FULL], ids=["alone", "with a share"])
def test_a_worker_pod_may_do_no_more_than_it_must(task: TaskSpec) -> None:
    spec = pod(task)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert "serviceAccountName" not in spec
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert spec["securityContext"] == {
        "runAsUser": 1001,
        "runAsGroup": 1002,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    assert len(containers) == (2 if task.share else 1)
    for container in containers:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
        # The scheduler is told of the copy; nothing limits what jobs write.
        room = {"ephemeral-storage": "300Mi"} if task.share else {}
        assert container["resources"] == {
            "requests": {"cpu": "500m", "memory": "1Gi", **room},
            "limits": {"memory": "1Gi"},
        }
    assert all(set(volume) == {"name", "emptyDir"} for volume in spec.get("volumes", []))


def test_only_roots_jobs_run_as_root() -> None:
    assert pod(dataclasses.replace(TASK, uid=0, gid=0))["securityContext"]["runAsNonRoot"] is False


def test_autoscalers_and_meshes_let_the_pods_be() -> None:
    template = documents(task_manifest(TASK))["Deployment"]["spec"]["template"]["metadata"]
    assert template["annotations"] == {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
        "karpenter.sh/do-not-evict": "true",
        "sidecar.istio.io/inject": "false",
        "linkerd.io/inject": "disabled",
        "consul.hashicorp.com/connect-inject": "false",
        "kuma.io/sidecar-injection": "disabled",
    }
    assert template["labels"]["sidecar.istio.io/inject"] == "false"


def test_pods_go_to_nodes_of_the_images_architecture() -> None:
    assert pod(TASK)["nodeSelector"] == {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    assert "tolerations" not in pod(TASK)
    chosen = pod(FULL)
    assert chosen["nodeSelector"]["disk"] == "ssd"
    assert chosen["tolerations"] == [
        {"key": "gpu", "operator": "Exists"},
        {"key": "example.com/spot", "operator": "Exists"},
    ]


def test_a_selector_of_the_user_takes_the_place_of_ours() -> None:
    selector = (("kubernetes.io/arch", "arm64"),)
    manifest = task_manifest(dataclasses.replace(TASK, node_selector=selector))
    assert manifest.count("kubernetes.io/arch") == 1
    assert documents(manifest)["Deployment"]["spec"]["template"]["spec"]["nodeSelector"] == {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "arm64",
    }


def test_a_tasks_objects_carry_its_name_and_label() -> None:
    found = documents(task_manifest(SHARED))
    assert set(found) == {"Secret", "Deployment"}
    for document in found.values():
        assert document["metadata"]["name"] == "womm-task-abcdefgh"
        assert document["metadata"]["labels"]["womm.dev/task"] == "abcdefgh"
        assert "namespace" not in document["metadata"]
    spec = found["Deployment"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert spec["replicas"] == 3


def test_the_secret_reaches_the_init_container_and_nothing_else() -> None:
    manifest = task_manifest(SHARED)
    assert manifest.count("s3cret") == 1
    spec = pod(SHARED)
    (init,), (worker,) = spec["initContainers"], spec["containers"]
    reference = {"secretKeyRef": {"name": "womm-task-abcdefgh", "key": "password"}}
    assert {"name": "RSYNC_PASSWORD", "valueFrom": reference} in init["env"]
    assert all("valueFrom" not in entry for entry in worker["env"])
    assert "envFrom" not in worker
    assert worker["volumeMounts"] == [{"name": "share", "mountPath": "/home/ann/work", "subPath": "files"}]


def test_where_results_come_back_a_container_of_its_own_has_the_secret_and_sees_the_volume() -> None:
    manifest = task_manifest(BACK)
    assert manifest.count("s3cret") == 1
    worker, back = pod(BACK)["containers"]
    assert all("valueFrom" not in entry for entry in worker["env"])
    assert worker["volumeMounts"] == [{"name": "share", "mountPath": "/home/ann/work", "subPath": "files"}]
    assert back["image"] == SHARE.image
    assert back["securityContext"] == worker["securityContext"]
    # Where the namespace demands a limit of cpus, it demands one of each container.
    assert {"cpu", "memory"} == set(back["resources"]["limits"])
    [init] = pod(BACK)["initContainers"]
    assert init["command"] == ["/opt/womm/scripts/share-pull", "/share/files", "/share"]


def test_without_a_share_there_is_no_secret_no_volume_and_no_init_container() -> None:
    assert set(documents(task_manifest(TASK))) == {"Deployment"}
    assert not {"volumes", "initContainers"} & set(pod(TASK))
    assert "volumeMounts" not in pod(TASK)["containers"][0]


def test_the_coordinator_has_the_rights_of_a_task_and_no_others() -> None:
    role = of_server("Role", "womm-coordinator")
    assert role["rules"] == [
        {
            "apiGroups": ["apps"],
            "resources": ["deployments"],
            "verbs": ["get", "list", "watch", "create", "delete"],
        },
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create", "delete"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "create", "patch", "delete"],
        },
    ]


def test_a_user_has_the_coordinators_rights_and_those_of_whoever_looks_and_begins_tasks() -> None:
    theirs = documents(user_role("team"))["Role"]
    assert theirs["metadata"]["namespace"] == "team"
    coordinators = of_server("Role", "womm-coordinator")["rules"]
    assert theirs["rules"] == [
        *coordinators,
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]},
        {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]},
        {
            "apiGroups": ["batch"],
            "resources": ["jobs"],
            "verbs": ["get", "list", "watch", "create", "delete"],
        },
    ]


@pytest.mark.parametrize("limit", ["", "2"])
def test_the_pod_that_is_tried_is_the_deployments(limit: str) -> None:
    task = dataclasses.replace(FULL, cpu_limit=limit)
    template = documents(task_manifest(task))["Deployment"]["spec"]["template"]
    tried = documents(pod_manifest(task))["Pod"]
    assert tried["metadata"].pop("generateName") == f"{task.name}-"
    assert {"metadata": tried["metadata"], "spec": tried["spec"]} == template
    containers = [*template["spec"]["containers"], *template["spec"]["initContainers"]]
    assert len(containers) == 2
    for container in containers:
        assert container["resources"]["limits"].get("cpu", "") == limit


@pytest.mark.parametrize("name", ["womm-server", "womm-coordinator"])
def test_each_role_is_bound_to_its_account_of_the_namespace(name: str) -> None:
    binding = of_server("RoleBinding", name)
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "team"}]
    assert of_server("ServiceAccount", name)["automountServiceAccountToken"] is False
    found = yaml.load_all(server_manifest(SERVER), Loader=yaml.CSafeLoader)
    assert {document["metadata"]["namespace"] for document in found} == {"team"}


def test_the_file_server_has_the_rights_that_orphans_take_and_an_account_of_its_own() -> None:
    assert of_server("Role")["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list", "delete"]},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "delete"]},
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["delete"]},
    ]
    assert of_server("Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "womm-server"


def test_the_accounts_stand_before_the_pod_that_could_not_be_made_without() -> None:
    found = [document["kind"] for document in yaml.load_all(server_manifest(SERVER), Loader=yaml.CSafeLoader)]
    assert found.index("Deployment") > max(n for n, kind in enumerate(found) if kind == "RoleBinding")


def test_the_file_server_may_do_no_more_than_it_must() -> None:
    spec = of_server("Deployment")["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is True
    idle = of_server("Deployment", server=dataclasses.replace(SERVER, orphans_after=0))
    assert idle["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert all(set(volume) == {"name", "emptyDir"} for volume in spec["volumes"])


def test_the_servers_architecture_is_asked_of_nodes_only_where_it_is_known() -> None:
    for arch, expected in (("", None), ("arm64", "arm64")):
        found = of_server("Deployment", server=dataclasses.replace(SERVER, arch=arch))
        spec = found["spec"]["template"]["spec"]
        assert spec["nodeSelector"].get("kubernetes.io/arch") == expected


@settings(max_examples=50)
@given(TEXT)
def test_every_text_of_a_server_stays_a_text(text: str) -> None:
    spec = ServerSpec(namespace=text, image=text, arch="amd64", cpu=text, memory=text, memory_limit=text)
    found = yaml.load_all(server_manifest(spec), Loader=yaml.CSafeLoader)
    assert {document["metadata"]["namespace"] for document in found} == {text}
    (container,) = of_server("Deployment", server=spec)["spec"]["template"]["spec"]["containers"]
    assert container["image"] == text
    assert container["resources"]["limits"] == {"memory": text}


def test_a_pull_secret_is_named_once_for_all_images_of_a_pod() -> None:
    assert "imagePullSecrets" not in pod(SHARED)
    assert pod(dataclasses.replace(SHARED, pull_secret="a: b"))["imagePullSecrets"] == [{"name": "a: b"}]


def with_nfs(kind: str, name: str = "womm-nfs-team", server: ServerSpec = NFS) -> dict[str, Any]:
    """One of the objects of a namespace that has an NFS server."""
    return of_server(kind, name, server)


def test_only_the_nfs_server_is_privileged_and_programmers_have_no_rights_where_it_is() -> None:
    found = list(yaml.load_all(server_manifest(NFS), Loader=yaml.CSafeLoader))
    text = {(d["kind"], d["metadata"]["name"]): json.dumps(d) for d in found}
    assert [key for key, said in text.items() if '"privileged": true' in said] == [
        ("Deployment", "womm-nfs-team")
    ]
    assert with_nfs("Deployment")["metadata"]["namespace"] == "womm-system"
    labels = with_nfs("Namespace", "womm-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
    # Bound there: the NFS server's account to the nodes, the file server's to one Service, and nobody else.
    bound = {
        d["metadata"]["name"]: [(s["name"], s["namespace"]) for s in d["subjects"]]
        for d in found
        if d["kind"] == "ClusterRoleBinding"
        or (d["metadata"].get("namespace") == "womm-system" and "subjects" in d)
    }
    assert bound == {"womm-nfs": [("womm-nfs", "womm-system")], "womm-nfs-team": [("womm-server", "team")]}
    (rule,) = with_nfs("Role")["rules"]
    assert rule == {
        "apiGroups": [""], "resources": ["services"], "resourceNames": ["womm-nfs-team"], "verbs": ["get"],
    }  # fmt: skip
    (rule,) = with_nfs("ClusterRole", "womm-nfs")["rules"]
    assert rule == {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}


def test_each_server_has_its_own_key_and_only_the_others_public_half() -> None:
    mine = with_nfs("Secret", "womm-nfs")
    its = with_nfs("Secret")
    assert (mine["metadata"]["namespace"], its["metadata"]["namespace"]) == ("team", "womm-system")
    assert mine["stringData"] == {"id": "CLIENT\n", "known_hosts": "womm-nfs ssh-ed25519 AAAH host\n"}
    door = 'restrict,command="/opt/womm/scripts/nfs-door" '
    assert its["stringData"] == {"host_key": "HOST\n", "authorized_keys": f"{door}ssh-ed25519 AAAC client\n"}


def test_without_nfs_the_file_server_has_nothing_of_it() -> None:
    manifest = server_manifest(SERVER)
    assert "nfs" not in manifest.lower()
    kinds = {document["kind"] for document in yaml.load_all(manifest, Loader=yaml.CSafeLoader)}
    assert "Namespace" not in kinds
    assert "Secret" not in kinds


def test_other_keys_make_both_pods_anew() -> None:
    assert NFS.nfs is not None
    other = dataclasses.replace(
        NFS.nfs, keys=dataclasses.replace(NFS.nfs.keys, host_public="ssh-ed25519 X\n")
    )
    changed = dataclasses.replace(NFS, nfs=other)
    for name in ("womm-server", "womm-nfs-team"):
        before, after = (
            with_nfs("Deployment", name, server)["spec"]["template"]["metadata"]["annotations"]
            for server in (NFS, changed)
        )
        assert before != after


def test_a_volume_for_restricted_pods_is_printed_once_the_address_is_known() -> None:
    volume, claim = with_nfs("PersistentVolume"), with_nfs("PersistentVolumeClaim", "womm-nfs")
    assert volume["spec"]["nfs"] == {"server": "10.0.0.8", "path": "/"}
    assert volume["spec"]["mountOptions"] == ["vers=4.2", f"actimeo={CLAIM_AGE}"]
    assert volume["spec"]["claimRef"] == {"namespace": "team", "name": "womm-nfs"}
    assert (claim["metadata"]["namespace"], claim["spec"]["volumeName"]) == ("team", "womm-nfs-team")
    assert NFS.nfs is not None
    early = dataclasses.replace(NFS, nfs=dataclasses.replace(NFS.nfs, address=""))
    assert "kind: PersistentVolume\n" not in server_manifest(early)
    # womm finds it by what the file server says.
    told = [with_nfs("Deployment", "womm-server", one)["metadata"]["annotations"] for one in (NFS, early)]
    assert told == [{"womm.dev/nfs": "true", "womm.dev/nfs-claim": "womm-nfs"}, {"womm.dev/nfs": "true"}]


def test_policies_let_in_those_who_have_to_come_and_nobody_else() -> None:
    (rule,) = of_server("NetworkPolicy")["spec"]["ingress"]
    tasks = {"matchExpressions": [{"key": "womm.dev/task", "operator": "Exists"}]}
    assert rule == {"from": [{"podSelector": tasks}], "ports": [{"protocol": "TCP", "port": "rsync"}]}
    ssh, nfs = with_nfs("NetworkPolicy")["spec"]["ingress"]
    assert ssh["ports"] == [{"protocol": "TCP", "port": "ssh"}]
    # Both selectors in one entry: that pod of that namespace.
    (caller,) = ssh["from"]
    assert caller["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "team"}
    assert caller["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "womm-server"}
    assert nfs["from"] == [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.1.0.0/24"]}},
        {"ipBlock": {"cidr": "10.1.0.0/32"}},
        {"ipBlock": {"cidr": "10.1.0.1/32"}},
    ]
    assert NFS.nfs is not None
    unknown = dataclasses.replace(NFS, nfs=dataclasses.replace(NFS.nfs, pod_ranges=(), tunnels=()))
    _, nfs = with_nfs("NetworkPolicy", server=unknown)["spec"]["ingress"]
    assert nfs == {"ports": [{"protocol": "TCP", "port": "nfs"}]}
