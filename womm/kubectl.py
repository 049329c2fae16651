"""The only place that spells kubectl's arguments: context and namespace are always explicit."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from typing import Any

from womm.errors import CommandFailed, WommError
from womm.process import Done, probe, run


@dataclass(frozen=True)
class KubeChoice:
    """What the user said about the cluster on the command line or in .womm; None: nothing."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def over(self, other: KubeChoice) -> KubeChoice:
        """This choice, completed by `other`.

        Another context or kubeconfig than `other`'s leaves out its namespace: it belongs to it.
        """
        same_place = (self.context in (None, other.context)) and (self.kubeconfig in (None, other.kubeconfig))
        return KubeChoice(
            self.namespace or (other.namespace if same_place else None),
            self.context or (other.context if self.kubeconfig in (None, other.kubeconfig) else None),
            self.kubeconfig or other.kubeconfig,
        )


@dataclass(frozen=True)
class Kube:
    """One namespace of one cluster, and kubectl to reach it."""

    namespace: str
    context: str
    kubeconfig: str | None = None

    def argv(self, *arguments: str) -> list[str]:
        """kubectl and `arguments`, with where they apply: a list, as exec takes it."""
        return [*self.prefix(), *arguments]

    def prefix(self) -> list[str]:
        """kubectl with its place but without a verb, for scripts that add their own."""
        place = ["--context", self.context, "--namespace", self.namespace]
        if self.kubeconfig is not None:
            place += ["--kubeconfig", self.kubeconfig]
        return ["kubectl", *place]

    def run(self, *arguments: str, stdin: bytes = b"", detached: bool = False) -> Done:
        """Run kubectl. Raises CommandFailed, or WommError where kubectl is missing."""
        return run(self.argv(*arguments), stdin=stdin, detached=detached)

    def probe(self, *arguments: str) -> bool:
        """Run kubectl and tell whether it succeeded."""
        return probe(self.argv(*arguments))

    def get(self, *arguments: str) -> dict[str, Any]:
        """`kubectl get … -o json`, decoded."""
        answer: dict[str, Any] = json.loads(self.run("get", *arguments, "-o", "json").stdout)
        return answer

    def create(self, manifest: str) -> list[str]:
        """Create what `manifest` (YAML) says; return the names, as `deployment.apps/NAME`.

        Every object has to be new: nothing that exists is changed.
        """
        done = self.run("create", "-f", "-", "-o", "name", stdin=manifest.encode())
        return done.text.split()


def resolve(choice: KubeChoice) -> Kube:
    """Fill `choice` from the user's kubeconfig, as kubectl would. Raises WommError without a context."""
    if choice.kubeconfig is not None:
        # It is used from other directories, too, and remembered.
        choice = replace(choice, kubeconfig=os.path.abspath(choice.kubeconfig))
    argv = ["kubectl", "config", "view", "--minify", "-o", "json"]
    for flag in ("context", "kubeconfig"):
        value = getattr(choice, flag)
        argv += [f"--{flag}", value] if value is not None else []
    try:
        view = json.loads(run(argv).stdout)
    except CommandFailed as failure:
        raise WommError(
            f"no Kubernetes context to work in ({failure.message})",
            "choose one: `kubectl config use-context NAME`, or --context NAME",
        ) from failure
    contexts = view.get("contexts") or [{}]
    name = view.get("current-context") or contexts[0].get("name", "")
    namespace = choice.namespace or contexts[0].get("context", {}).get("namespace") or "default"
    found = replace(choice, namespace=namespace, context=choice.context or name)
    if not found.context:
        raise WommError("kubectl has no current context", "add --context NAME, or use-context one")
    return Kube(namespace, found.context, found.kubeconfig)
