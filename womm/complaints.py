"""What kubectl complains of, told to its user: what happened, where, and the way out (pure)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from womm.errors import WommError


@dataclass(frozen=True)
class Place:
    """Where a failed kubectl was to work.

    `server` is its address, "" if the kubeconfig has none; `flags` are kubectl's options that say all this.
    """

    namespace: str
    context: str
    server: str
    flags: str

    def __str__(self) -> str:
        """The cluster as messages name it."""
        return f"{self.server} (context {self.context})" if self.server else f"context {self.context}"

    @property
    def try_it(self) -> str:
        """A command that shows the user what kubectl itself meets there."""
        return f"`kubectl {self.flags} get pods`"


class Forbidden(WommError):
    """The cluster knows the user, and does not allow it: to do something with a `what` (deployments.apps)."""

    def __init__(self, what: str, message: str, hint: str) -> None:
        super().__init__(message, hint)
        self.what = what


# What stands about the sentences that matter: lines of kubectl's log, introductions, advice.
_LOG = re.compile(r"^[EWI][0-9]{4} [0-9:.]+ .*\n?", re.MULTILINE)
_INTRODUCTION = re.compile(
    r"^(error: |Error from server( \(\w+\))?: |Unable to connect to the server: |Error in configuration: )+"
)

# The cluster's own word, whatever it quotes: a webhook's refusal, a connection of its own that failed. (503
# is what stands before a server says while that is away.)
_ANSWERED = re.compile(r"^Error from server\b(?! \((?:Unauthorized|ServiceUnavailable)\))", re.MULTILINE)

_ADVICE = re.compile(r"; if you choose to ignore these errors.*")

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<what>[^"]+)"'
    r'(?: in API group "(?P<group>[^"]*)")?(?: in the namespace "(?P<namespace>[^"]*)")?'
)
_NO_NAMESPACE = r'namespaces "([^"]+)" not found'


def explain(stderr: str, place: Place) -> WommError:
    """The error that tells why a kubectl failed that said `stderr` at `place`."""
    text = _ADVICE.sub("", stderr)
    # The log tells of other requests, too: of an API that is broken, and that nobody needs.
    text = _LOG.sub("", text).strip() or text
    has_answered = _ANSWERED.search(text) is not None
    for pattern, tell in _ANSWERS if has_answered else _KNOWN:
        if (match := re.search(pattern, text, re.MULTILINE)) is not None:
            return tell(match, place)
    return WommError(f"kubectl failed: {essence(stderr)}", f"try it yourself: {place.try_it}")


def refused_lists(stderr: str) -> set[str]:
    """What a kubectl that said `stderr` was not allowed to list, as `jobs.batch`."""
    found = re.finditer(_FORBIDDEN, stderr)
    return {f"{m['what']}.{m['group']}" if m["group"] else m["what"] for m in found if m["verb"] == "list"}


def is_no_namespace(stderr: str) -> bool:
    """Whether what a kubectl was to make was refused because its namespace does not exist."""
    return re.search(_NO_NAMESPACE, stderr) is not None


def essence(stderr: str) -> str:
    """What kubectl said, on one line: without its log, and without what introduces it."""
    text = _LOG.sub("", _ADVICE.sub("", stderr)).strip() or stderr.strip().rpartition("\n")[2]
    lines = [_INTRODUCTION.sub("", line.strip()) for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "it said nothing"


def no_answer(place: Place, seconds: float) -> WommError:
    """The error for a kubectl that had to be ended after `seconds`."""
    return _silent(place, f"nothing came within {seconds:.0f} s")


def _silent(place: Place, reason: str) -> WommError:
    return WommError(
        f"the cluster does not answer: {place}: {reason}",
        f"does it run, and is it reached from this network (a VPN)? {place.try_it} shows it; "
        "--context NAME takes another cluster",
    )


def _unreached(match: re.Match[str], place: Place) -> WommError:
    return _silent(place, match[0])


def _no_plugin(match: re.Match[str], place: Place) -> WommError:
    return WommError(
        f"the login to {place} is made by the program {match[1]}, which is not installed",
        f"install it, and see that {place.try_it} works; or take another cluster: --context NAME",
    )


def _plugin_failed(match: re.Match[str], place: Place) -> WommError:
    return WommError(
        f"the login to {place} failed: {match[1]}",
        f"log in again as your cluster wants it, until {place.try_it} works",
    )


def _refused_login(_match: re.Match[str], place: Place) -> WommError:
    return WommError(
        f"the cluster refuses your login: {place}: it has expired, or is not known there",
        f"log in again as your cluster wants it, until {place.try_it} works",
    )


def _untrusted(match: re.Match[str], place: Place) -> WommError:
    way_out = "get its kubeconfig anew: this one trusts another certificate, or something stands in between"
    if "expired or is not yet valid" in match[0]:
        way_out = (
            "ask who runs the cluster to renew its certificate; or is this machine's clock wrong (`date`)?"
        )
    return WommError(f"the cluster can't prove who it is: {place}: {match[0]}", way_out)


def _forbidden(match: re.Match[str], place: Place) -> WommError:
    if match["user"] == "system:anonymous":
        return _refused_login(match, place)
    what = f"{match['what']}.{match['group']}" if match["group"] else match["what"]
    where = f"in namespace {match['namespace']}" if match["namespace"] else "in the whole cluster"
    return Forbidden(
        what,
        f"you may not {match['verb']} {what} {where}: {place} knows you as {match['user']}",
        f"ask its administrator for the rights that `womm {place.flags} cluster-setup --user-role` prints",
    )


def _no_namespace(match: re.Match[str], place: Place) -> WommError:
    return WommError(
        f"there is no namespace {match[1]} in {place}",
        f"choose one with --namespace NAME, or make it: kubectl {place.flags} create namespace {match[1]}",
    )


def _no_context(_match: re.Match[str], place: Place) -> WommError:
    return WommError(
        f"kubectl knows no context {place.context}",
        "`kubectl config get-contexts` lists them: --context NAME takes one, `womm setup` remembers it",
    )


def _bad_kubeconfig(match: re.Match[str], _place: Place) -> WommError:
    return WommError(
        f"kubectl can't read its configuration: {match[0]}",
        "mend that file, or name another one: --kubeconfig FILE (or KUBECONFIG)",
    )


def _no_kubernetes(_match: re.Match[str], place: Place) -> WommError:
    return WommError(
        f"what answers at {place} is no Kubernetes",
        "--context NAME takes another cluster; or mend its address",
    )


_Tell = Callable[[re.Match[str], Place], WommError]

# The first one that is found tells; the rest of a pattern's line is part of the story. What the cluster says:
_ANSWERS: tuple[tuple[str, _Tell], ...] = (
    (_FORBIDDEN.pattern, _forbidden),
    (_NO_NAMESPACE, _no_namespace),
    (r"could not find the requested resource", _no_kubernetes),
)
# What keeps kubectl from asking it, or from an answer, and the answers.
_KNOWN: tuple[tuple[str, _Tell], ...] = (
    (r"exec: executable (\S+) not found", _no_plugin),
    (r"getting credentials: (.+)", _plugin_failed),
    (r"((?:oauth2|oidc|no Auth Provider|refresh token|invalid_grant).+)", _plugin_failed),
    (
        # kubectl asks for a user's name where it has no login at all, and gets no answer.
        r"Unauthorized|must be logged in|client to provide credentials|^error: EOF$|"
        r"remote error: tls: (?:bad|expired|unknown) certificate|tls: certificate required",
        _refused_login,
    ),
    (r"x509: .+|tls: failed to verify.+|server gave HTTP response to HTTPS client", _untrusted),
    *_ANSWERS[:2],
    (r"context was not found|context \S+ does not exist|cannot locate context", _no_context),
    (
        r"error loading config file.+|[Ii]nvalid configuration.+|"
        r"(?:stat|open|unable to read) \S+: (?:no such|permission).+",
        _bad_kubeconfig,
    ),
    (
        r"connect: [a-z ]+|connection to the server \S+ was refused|no such host|server misbehaving|"
        r"TLS handshake timeout|i/o timeout|connection reset by peer|deadline exceeded|"
        r"request canceled while waiting|unexpected EOF|: EOF|Client\.Timeout exceeded|connection timed out|"
        r"the server is currently unable to handle the request",
        _unreached,
    ),
    (r"could not find the requested resource|doesn't have a resource type", _no_kubernetes),
)
