"""The variables that jobs get from the local shell, as scripts/testbed-environment.pl keeps them (pure)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

#: Where the image has them.
FILE = "/etc/womm/environment"

# What stands in a name as a word of its own, and what may stand anywhere in it.
_WORDS = re.compile(
    r"(?:^|_)(?:KEY|KEYS|PAT|PASS|PWD|PW|PASSPHRASE|AUTH|CRED|CREDS|COOKIE|SESSION|SAS|DSN)(?:_|$)",
    re.IGNORECASE,
)
_PARTS = re.compile(
    r"SECRET|TOKEN|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|SIGNATURE|NETRC|KUBECONFIG|JWT"
    r"|(?:API|ACCESS|AES|CRYPT|CRYPTION|DEPLOY|GPG|HMAC|HOST|LICENSE|MASTER|PGP|RSA|SIGNING|SSH|SSL|TLS)"
    r"_?KEYS?(?![A-Z])"
    # At a name's or a word's end, whatever it is written together with.
    r"|(?<!COM)(?<!BY)PASS(?![A-Z])|(?<!^OLD)PWD(?![A-Z])",
    re.IGNORECASE,
)


def decode(content: bytes) -> dict[str, str | None]:
    """Read such a file: names and values; None for a variable that was unset. Any bytes survive."""
    entries = (os.fsdecode(entry).partition("=") for entry in content.split(b"\0") if entry)
    return {name: value if equals else None for name, equals, value in entries}


def encode(entries: Mapping[str, str | None]) -> bytes:
    """Write such a file."""
    texts = (name if value is None else f"{name}={value}" for name, value in sorted(entries.items()))
    return b"".join(os.fsencode(text) + b"\0" for text in texts)


def likely_secrets(names: Iterable[str]) -> list[str]:
    """Those of the variables whose names say that their values are nobody else's business, sorted.

    Everybody who may pull the image reads what is baked into it.
    """
    return sorted(name for name in names if _WORDS.search(name) or _PARTS.search(name))
