"""Redaction: finds secrets, in any form, in what is to be given away, and removes them.

Looking for known secrets is better than looking for what resembles a secret; both are done. Removing and finding are
separate, so that each checks the other.
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
"""Shorter ones would match everywhere by chance."""
_FORM_BYTES_MIN = 6
_TELLING_NAME = re.compile(r"TOKEN|SECRET|PASS|PWD|CREDENTIAL|KEY|AUTH(?!OR)", re.IGNORECASE)
_PASSWORD_IN_URL = re.compile(r"://[^/?#@\s]*:([^/@\s]+)@")
"""As in `postgres://user:password@host`, whatever the variable is called."""
_VARIABLE_CHARACTERS_MIN = 8
"""For a variable with such a name, a shorter value is a setting rather than a secret, and so is a path."""

_PATTERNS: Mapping[str, re.Pattern[bytes]] = {
    "a private key": re.compile(
        rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
    ),
    # As commands accept it: base64 of a JSON object that begins with `{"passwordHash`; and as it is in that object.
    "a password's hash": re.compile(rb'eyJwYXNzd29yZEhhc2h[\w+/=-]*|"passwordHash"\s*:\s*"[^"]*"'),
}
"""Secrets of which nobody has a copy to search for."""


class Redaction:
    """Knows a set of secrets."""

    def __init__(self, secret_by_name: Mapping[str, str], private_keys: Iterable[bytes] = ()) -> None:
        """`private_keys`: the contents of PEM files."""
        forms = {form: name for name, secret in secret_by_name.items() for form in forms_of(secret)}
        forms |= {line: "a private key" for key in private_keys for line in _key_lines(key)}
        # The longest first, so that no part of a secret is left when another one is a part of it.
        self._name_by_form = dict(sorted(forms.items(), key=lambda pair: -len(pair[0])))
        self._any = re.compile(b"|".join(map(re.escape, self._name_by_form))) if forms else None

    def find(self, content: bytes) -> str | None:
        """The name of a secret that the content contains in any form; None if there is none."""
        match = self._any.search(content) if self._any else None
        if match is not None:
            return self._name_by_form[match[0]]
        return next((name for name, pattern in _PATTERNS.items() if pattern.search(content)), None)

    def scrub(self, content: bytes) -> bytes:
        """The content with a word in place of each secret."""
        for pattern in _PATTERNS.values():
            content = pattern.sub(REPLACEMENT, content)
        return self._any.sub(REPLACEMENT, content) if self._any else content


def secrets_among(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables that seem to hold a secret, judged by their names, and passwords in URLs."""
    found: dict[str, str] = {}
    for name, value in variables.items():
        if _TELLING_NAME.search(name) and len(value) >= _VARIABLE_CHARACTERS_MIN and not value.startswith("/"):
            found[name] = value
        elif match := _PASSWORD_IN_URL.search(value):
            found[name] = match[1]
    return found


@functools.lru_cache(maxsize=4096)
def forms_of(secret: str) -> tuple[bytes, ...]:
    """The forms of a secret: as it is, and as encodings write it, alone or inside other text; the longest first.
    Nothing for a secret so short that it would match by chance."""
    return tuple(sorted(set(_forms(secret)), key=len, reverse=True)) if len(secret) >= SECRET_CHARACTERS_MIN else ()


def _forms(secret: str) -> Iterator[bytes]:
    raw = secret.encode("utf-8", "surrogateescape")
    plain = {raw, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode()}
    hexadecimal = {raw.hex().encode(), raw.hex().upper().encode()}
    yield from plain | hexadecimal
    for before in range(3):
        yield from (form for form in _in_base64(raw, before) if len(form) >= _FORM_BYTES_MIN)


def _in_base64(raw: bytes, before: int) -> Iterator[bytes]:
    """How base64 encodes a secret that is preceded by `before` (or three more, and so on) bytes: the characters that
    depend only on the secret."""
    begin, end = -(-8 * before // 6), 8 * (before + len(raw)) // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(bytes(before) + raw)[begin:end]


def _key_lines(pem: bytes) -> Iterator[bytes]:
    """The lines of a key's body, each of which would reveal a part of it."""
    lines = (line.strip() for line in pem.splitlines() if not line.startswith(b"-----"))
    return (line for line in lines if len(line) >= 32)
