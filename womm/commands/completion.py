"""`womm completion bash`: print the script by which bash completes womm's command lines.

The script carries the words of this version, so that TAB never starts Python. The build (setup.py)
prints it into the package, too: nothing here or above it may need a third-party module to be imported.
"""

from __future__ import annotations

import argparse
import importlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from womm import __version__, cli
from womm.commands.arguments import Parser
from womm.files import PARALLEL_OPTIONS, SCRIPTS
from womm.getopt import Option, load_table
from womm.kubectl import KubeChoice
from womm.options import HELP, REFUSED
from womm.output import data
from womm.values import TRANSPORTS

#: Kinds of the values of GNU parallel's options, by the first of their names; any where it isn't here.
THEIR_VALUES = {
    **dict.fromkeys(("arg-file", "basefile", "joblog", "results", "return", "template"), "file"),
    **dict.fromkeys(("tmpdir", "transfer-file", "trc", "work-dir"), "file"),
    **dict.fromkeys(("use-compress-program", "use-decompress-program"), "command"),
    "env": "variable",
}


@dataclass(frozen=True)
class Words:
    """What may follow one verb, or `womm` itself.

    A *kind* says what can stand in one place: file, command, variable, context, namespace, joblog (the run's
    id of a kept one, or a file), task (one's id), `words:` and a list with commas, any (nothing is offered),
    maybe (any, or nothing at all).
    """

    #: The options that are offered, and those that are where none of them fits.
    options: Sequence[str]
    spare: Sequence[str] = ()
    #: Kinds by option, of those that take a value.
    values: Mapping[str, str] = field(default_factory=dict)
    #: The kind of a word that is no option, and of one after `--`.
    rest: str = ""
    after: str = ""


def make_parser() -> Parser:
    """What the verb understands."""
    parser = Parser("completion", 'Print completion for a shell: eval "$(womm completion bash)"')
    parser.add_argument("shell", choices=("bash",), help="the shell")
    return parser


def run(arguments: Sequence[str], choice: KubeChoice) -> int:
    """Run the verb; returns 0."""
    make_parser().understand(arguments, choice)
    data(script())
    return 0


def script() -> str:
    """Return the script: the words of each verb, and womm/scripts/completion.bash, which uses them."""
    cases = "".join(_case(verb, words(verb)) for verb in ("", *(name for name, _, _ in cli.VERBS)))
    return (
        f"# Completion of womm {__version__} for bash, as `womm completion bash` prints it.\n\n"
        "# _womm_table: set what may follow the verb $1. Exit 1 if there is no such verb.\n"
        f"_womm_table() {{\n  case $1 in\n{cases}    *) return 1 ;;\n  esac\n}}\n\n"
        f"{(SCRIPTS / 'completion.bash').read_text(encoding='utf-8')}"
    )


def _case(verb: str, its: Words) -> str:
    variables = {
        "options": " ".join(its.options),
        "spare": " ".join(its.spare),
        "values": " ".join(f"{name}={kind}" for name, kind in its.values.items()),
        "rest": its.rest,
        "after": its.after,
    }
    lines = "".join(f"      {name}={shlex.quote(value)}\n" for name, value in variables.items())
    return f"    {shlex.quote(verb)})\n{lines}      ;;\n"


def words(verb: str) -> Words:
    """Return what may follow `verb`, one of cli.VERBS, or, for "", `womm` itself."""
    if not verb:
        values = {name: _kind(place) for name, place in cli.KUBE.items()}
        return Words([*values, *cli.FLAGS], values=values, rest=_words(name for name, _, _ in cli.VERBS))
    if verb == "parallel":
        return _parallel()
    (module,) = (module for name, module, _ in cli.VERBS if name == verb)
    parser: Parser = importlib.import_module(f"womm.commands.{module}").make_parser()
    options = [name for action in parser.actions for name in action.option_strings]
    values = {
        name: _of_action(action)
        for action in parser.actions
        for name in action.option_strings
        if action.nargs != 0
    }
    if parser.takes_command:
        return Words(options, (), values, _words([*options, "--"]), "command")
    places = [_of_action(action) for action in parser.actions if not action.option_strings]
    return Words(options, (), values, *(places[:1] * 2 or [_words(options)]))


def _of_action(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return _kind(action.dest, metavar, [str(choice) for choice in action.choices or ()])


def _parallel() -> Words:
    ours = [name for name, _, _ in HELP]
    values = {
        name: _kind(name.removeprefix("--"), argument, TRANSPORTS if name == "--transport" else ())
        for name, argument, _ in HELP
        if argument
    }
    options, spare = dict.fromkeys(ours), {}
    for option in load_table(PARALLEL_OPTIONS).theirs:
        kind = "maybe" if option.value == "optional" else THEIR_VALUES.get(option.names[0], "any")
        if option.value != "none":
            values.update({_typed(name): kind for name in option.names if _typed(name) not in values})
        if not option.names[0].startswith("_") and not REFUSED.keys() & set(option.names):
            first, others = _spellings(option)
            options.update(dict.fromkeys(first))
            spare.update(dict.fromkeys(others))
    return Words([*options], [*spare], values, _words([*ours, "--"]), "command")


def _spellings(option: Option) -> tuple[list[str], list[str]]:
    """The names to offer, and those that only say the same with other dashes or in two letters."""
    first: dict[str, str] = {}
    for name in option.names:
        if len(name) != 2:
            first.setdefault(name.replace("-", "").replace("_", ""), name)
    return (
        [_typed(name) for name in first.values()],
        [_typed(name) for name in option.names if name not in first.values()],
    )


def _typed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _kind(name: str, argument: str = "", choices: Iterable[str] = ()) -> str:
    """The kind of the value that is called `name`, and `argument` in the help."""
    if choices:
        return _words(choices)
    if argument == "FILE" or name == "kubeconfig":
        return "file"
    return name if name in ("command", "context", "namespace", "joblog", "task") else "any"


def _words(choices: Iterable[str]) -> str:
    return "words:" + ",".join(choices)
