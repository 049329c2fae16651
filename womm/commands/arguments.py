"""argparse, made to raise our errors and to read kubectl's own options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from womm.errors import WommError
from womm.kubectl import KubeChoice
from womm.output import be_quiet, data


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose refusals are WommErrors, and which takes no abbreviations."""

    def __init__(self, verb: str, description: str) -> None:
        super().__init__(prog=f"womm {verb}".strip(), description=description, allow_abbrev=False)
        self.add_argument("--namespace", "-n", metavar="NAME", help="as in kubectl")
        self.add_argument("--context", metavar="NAME", help="as in kubectl")
        self.add_argument("--kubeconfig", metavar="FILE", help="as in kubectl")
        #: Whether a command follows the options, after a `--`.
        self.takes_command = False
        self.add_argument("--quiet", action="store_true", help="no progress lines on stderr")

    @property
    def actions(self) -> Sequence[argparse.Action]:
        """All that it takes, options and others, in the order of the help: the completion reads it."""
        return self._actions

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments."""
        raise WommError(message, f"see `{self.prog} --help`")

    def print_help(self, file: object = None) -> None:
        """Print the help; a reader that has gone is no crash."""
        assert file is None
        data(self.format_help())

    def understand(
        self, arguments: Sequence[str], choice: KubeChoice
    ) -> tuple[argparse.Namespace, KubeChoice]:
        """Parse; return the arguments, and the cluster that they and `choice` name. --quiet holds at once."""
        parsed = self.parse_args(arguments)
        if parsed.quiet:
            be_quiet()
        given = KubeChoice(parsed.namespace, parsed.context, parsed.kubeconfig)
        return parsed, given.beside(choice)
