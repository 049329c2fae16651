"""The only place that spells kubectl's arguments: context and namespace are always explicit."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from womm import complaints
from womm.errors import CommandFailed, WommError
from womm.process import TIMED_OUT, Done, attempt, probe, run, tool

# Seconds that a short call may take in all: kubectl by itself tries again and again, 30 s each time. An
# answer that takes longer is none for people who wait at a prompt.
_ANSWER = 8.0
# Seconds for what admission webhooks may delay: each of them may take 30. And those after which such a call
# is no longer taken for one that is just answered.
_CREATION, _FIRST = 120.0, 5.0

_SERVER = "jsonpath={.clusters[0].cluster.server}"
_INSTALL = "install kubectl: https://kubernetes.io/docs/tasks/tools/"


@dataclass(frozen=True)
class KubeChoice:
    """What the user said about the cluster on the command line or in .womm; None: nothing."""

    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def over(self, other: KubeChoice) -> KubeChoice:
        """This choice, completed by what `other` remembers.

        Another context or kubeconfig than `other`'s leaves out its namespace: it belongs to it.
        """
        same_place = (self.context in (None, other.context)) and (self.kubeconfig in (None, other.kubeconfig))
        return KubeChoice(
            self.namespace or (other.namespace if same_place else None),
            self.context or (other.context if self.kubeconfig in (None, other.kubeconfig) else None),
            self.kubeconfig or other.kubeconfig,
        )

    def beside(self, other: KubeChoice) -> KubeChoice:
        """This choice, completed by another part of the same command line."""
        return KubeChoice(
            self.namespace or other.namespace,
            self.context or other.context,
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

    def run(self, *arguments: str, patience: float = _ANSWER, env: Mapping[str, str] | None = None) -> Done:
        """Run kubectl, for `patience` seconds at most. Raises WommError that tells why it failed.

        `env` is added to this process's own.
        """
        done = self.attempt(*arguments, patience=patience, env=env)
        if done.status != 0:
            raise self.explain(done.stderr)
        return done

    def attempt(
        self, *arguments: str, patience: float = _ANSWER, env: Mapping[str, str] | None = None
    ) -> Done:
        """Run kubectl, whatever its exit status. Raises WommError if it takes more than `patience` seconds.

        `env` is added to this process's own.
        """
        tool("kubectl", _INSTALL)
        done = attempt(self.argv(*arguments), patience=patience, env=env)
        if done.status == TIMED_OUT:
            raise complaints.no_answer(self._place(), patience)
        return done

    def attempt_creation(self, *arguments: str, env: Mapping[str, str]) -> Done:
        """As attempt, but with time for admission webhooks, each of which may take 30 s.

        A cluster that does not answer at all is told as soon as ever, with WommError.
        """
        done = attempt(self.argv(*arguments), patience=_FIRST, env=env)
        if done.status != TIMED_OUT:
            return done
        # Nothing is asked of webhooks about this.
        done = attempt(self.argv("get", "--raw", "/version"), patience=_ANSWER - _FIRST, env=env)
        if done.status == TIMED_OUT:
            raise complaints.no_answer(self._place(), _ANSWER)
        return self.attempt(*arguments, patience=_CREATION, env=env)

    def explain(self, stderr: bytes) -> WommError:
        """The error that tells why a kubectl failed that said `stderr`: what happened, and the way out."""
        return complaints.explain(stderr.decode(errors="replace"), self._place())

    def check(self, patience: float = _ANSWER) -> None:
        """See whether the cluster answers, knows the user, and has the namespace. Raises WommError."""
        try:
            self.run("get", "namespace", self.namespace, "-o", "name", patience=patience)
        except complaints.Forbidden:
            # Who may work in a namespace need not be allowed to look at it.
            return

    def probe(self, *arguments: str) -> bool:
        """Run kubectl and tell whether it succeeded."""
        return probe(self.argv(*arguments))

    def get(self, *arguments: str, patience: float = _ANSWER) -> dict[str, Any]:
        """`kubectl get … -o json`, decoded."""
        answer: dict[str, Any] = json.loads(
            self.run("get", *arguments, "-o", "json", patience=patience).stdout
        )
        return answer

    def create(self, manifest: Path, env: Mapping[str, str]) -> list[str]:
        """Create what the file `manifest` (YAML) says; return the names, as `deployment.apps/NAME`.

        Every object has to be new: nothing that exists is changed. `env` is added to this process's own.
        """
        done = self.run("create", "-f", str(manifest), "-o", "name", patience=_CREATION, env=env)
        return done.text.split()

    def _place(self) -> complaints.Place:
        # What the kubeconfig says of the place is asked for when a message needs it only.
        flags = self.prefix()[1:]
        return complaints.Place(self.namespace, self.context, self.server(), shlex.join(flags))

    def server(self) -> str:
        """The address of the cluster's server; "" if the kubeconfig has none. Nothing is asked of it."""
        # A kubeconfig that others have named may be a pipe.
        return attempt(self.argv("config", "view", "--minify", "-o", _SERVER), patience=_ANSWER).text


def contexts(kubeconfig: str | None) -> list[str]:
    """The names of the kubeconfig's contexts."""
    place = ["--kubeconfig", kubeconfig] if kubeconfig is not None else []
    return attempt(["kubectl", "config", "get-contexts", "--output", "name", *place]).text.split("\n")[:-1]


def resolve(choice: KubeChoice) -> Kube:
    """Fill `choice` from the user's kubeconfig, as kubectl would.

    Raises WommError without a context, and without kubectl.
    """
    tool("kubectl", _INSTALL)
    if choice.kubeconfig is not None:
        # It is used from other directories, too, and remembered.
        choice = replace(choice, kubeconfig=os.path.abspath(choice.kubeconfig))
    if choice.context is not None and choice.namespace is not None:
        return Kube(choice.namespace, choice.context, choice.kubeconfig)
    argv = ["kubectl", "config", "view", "--minify", "-o", "json"]
    for flag in ("context", "kubeconfig"):
        value = getattr(choice, flag)
        argv += [f"--{flag}", value] if value is not None else []
    try:
        view = json.loads(run(argv).stdout)
    except CommandFailed as failure:
        said = complaints.essence(failure.stderr.decode(errors="replace"))
        raise WommError(
            f"no Kubernetes context to work in ({said})",
            "choose one: `kubectl config use-context NAME`, or --context NAME",
        ) from failure
    contexts = view.get("contexts") or [{}]
    name = view.get("current-context") or contexts[0].get("name", "")
    namespace = choice.namespace or contexts[0].get("context", {}).get("namespace") or "default"
    found = replace(choice, namespace=namespace, context=choice.context or name)
    if not found.context:
        raise WommError("kubectl has no current context", "add --context NAME, or use-context one")
    return Kube(namespace, found.context, found.kubeconfig)
