"""Redaction: finding secrets in what is to be given away, in whichever form they stand there, and taking them out.

Looking for what is known beats looking for what secrets look like; both are done. Taking out and finding are apart, so
that the one proves the other.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

REPLACEMENT = b"(secret)"
SECRET_CHARACTERS_MIN = 6
"""Shorter ones would be found everywhere by chance."""
_FORM_BYTES_MIN = 6
_TELLING_NAME = re.compile(r"TOKEN|SECRET|PASS|PWD|CREDENTIAL|KEY|AUTH(?!OR)", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^/?#@\s]*:([^/@\s]+)@")
"""As in `postgres://user:password@host`, whatever the variable is called."""
_VARIABLE_CHARACTERS_MIN = 8
"""A shorter value of a variable that goes by such a name is a setting rather than a secret, and so is a path."""

_PATTERNS: Mapping[str, re.Pattern[bytes]] = {
    "a private key": re.compile(
        rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    # As commands take it: base64 of a JSON object that begins with `{"passwordHash`; and as that object has it.
    "a password's hash": re.compile(rb'eyJwYXNzd29yZEhhc2h[\w+/=-]*|"passwordHash"\s*:\s*"[^"]*"'),
}
"""Secrets that nobody has a copy of to look for."""


class Redaction:
    """Knows a set of secrets."""

    def __init__(self, secret_by_name: Mapping[str, str], private_keys: Iterable[bytes] = ()) -> None:
        """`private_keys`: the text of PEM files."""
        forms = {form: name for name, secret in secret_by_name.items() for form in forms_of(secret)}
        forms |= {line: "a private key" for key in private_keys for line in _key_lines(key)}
        # The longest first, so that nothing of one is left when a part of it is another.
        self._name_by_form = dict(sorted(forms.items(), key=lambda pair: -len(pair[0])))
        self._any = re.compile(b"|".join(map(re.escape, self._name_by_form))) if forms else None

    def find(self, content: bytes) -> str | None:
        """The name of a secret that is in there, in any form; None if there is none."""
        match = self._any.search(content) if self._any else None
        if match is not None:
            return self._name_by_form[match[0]]
        return next((name for name, pattern in _PATTERNS.items() if pattern.search(content)), None)

    def scrub(self, content: bytes) -> bytes:
        """The same with a word in place of each secret."""
        for pattern in _PATTERNS.values():
            content = pattern.sub(REPLACEMENT, content)
        return self._any.sub(REPLACEMENT, content) if self._any else content


def secrets_among(variables: Mapping[str, str]) -> dict[str, str]:
    """Of the variables of an environment those that seem to hold a secret, by their names, and passwords in URLs."""
    found: dict[str, str] = {}
    for name, value in variables.items():
        if _TELLING_NAME.search(name) and len(value) >= _VARIABLE_CHARACTERS_MIN and not value.startswith("/"):
            found[name] = value
        elif match := _PASSWORD_IN_URL.search(value):
            found[name] = match[1]
    return found


@functools.lru_cache(maxsize=4096)
def forms_of(secret: str) -> tuple[bytes, ...]:
    """A secret as it is, and as encodings have it, alone or amid something else; the longest first. Nothing for one
    that is so short that it would be found by chance."""
    return tuple(sorted(set(_forms(secret)), key=len, reverse=True)) if len(secret) >= SECRET_CHARACTERS_MIN else ()


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode("utf-8", "surrogateescape")
    plain = {raw, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    hexadecimal = {raw.hex().encode(), raw.hex().upper().encode()}
    yield from plain | hexadecimal
    for before in range(3):
        yield from (form for form in _in_base64(raw, before) if len(form) >= _FORM_BYTES_MIN)


def _in_base64(raw: bytes, before: int) -> Iterator[bytes]:
    """What base64 makes of a secret that `before` (or three more, and so on) bytes stand before: the characters that
    depend on nothing but the secret."""
    begin, end = -(-8 * before // 6), 8 * (before + len(raw)) // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(before) + raw)[begin:end]


def _key_lines(pem: bytes) -> Iterator[bytes]:
    """The lines of a key's body, each of which would give part of it away."""
    lines = (line.strip() for line in pem.splitlines() if not line.startswith(b"-----"))
    return (line for line in lines if len(line) >= 32)
