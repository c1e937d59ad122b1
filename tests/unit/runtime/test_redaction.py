"""A secret is found in every form in which programs write it down, and what is scrubbed holds none."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapstorm.runtime.redaction import REPLACEMENT, Redaction, secrets_among
from snapstorm.targets.kopia.repository import password_hash

SECRET = 'Zk3-_x9QmA+/7=b%pW"r\\t'
REDACTION = Redaction({"repository": SECRET})

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda secret: secret,
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for addresses": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 after a name": lambda secret: base64.b64encode(f"client-1@host:{secret}".encode()).decode(),
    "base64 amid something": lambda secret: base64.b64encode(f"ab{secret}cd".encode()).decode(),
    "base64 after one byte": lambda secret: base64.b64encode(f"a{secret}bcd".encode()).decode(),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "HEXADECIMAL": lambda secret: secret.encode().hex().upper(),
    "in an address": lambda secret: f"https://u:{quote(secret, safe='')}@h",
    "in JSON": lambda secret: json.dumps({"password": secret}),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_form_is_found_and_scrubbed(form: str) -> None:
    """Found by its name; once scrubbed, not found any more, and what stood around it stays."""
    text = f"before {FORMS[form](SECRET)} after".encode()
    assert REDACTION.find(text) == "repository"
    clean = REDACTION.scrub(text)
    assert REDACTION.find(clean) is None
    assert REPLACEMENT in clean
    assert clean.startswith(b"before ")
    assert clean.endswith(b" after")


@given(st.text(min_size=6), st.binary(max_size=9), st.binary(max_size=9))
def test_whatever_stands_around_it(secret: str, before: bytes, after: bytes) -> None:
    """Any secret amid any bytes, plain or in base64, is found."""
    redaction = Redaction({"one": secret})
    content = before + secret.encode("utf-8", "surrogatepass") + after
    try:
        secret.encode()
    except UnicodeEncodeError:
        return
    assert redaction.find(content) == "one"
    assert redaction.find(base64.b64encode(content)) == "one"


def test_a_private_key_is_found_whole_and_in_part() -> None:
    """Any private key, and each line of one that is known."""
    body = base64.b64encode(bytes(range(200))).decode()
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    pem = "\n".join(["-----BEGIN RSA PRIVATE KEY-----", *lines, "-----END RSA PRIVATE KEY-----"])
    assert Redaction({}).find(f"log: {pem}".encode()) == "a private key"
    assert Redaction({}).scrub(f"log: {pem} end".encode()) == b"log: (secret) end"
    assert Redaction({}, [pem.encode()]).find(lines[1].encode()) == "a private key"


def test_a_password_hash_is_found_without_being_known() -> None:
    """As the command takes it, and as Kopia's own JSON has it."""
    hashed = password_hash("secret password")
    for text in (f"--user-password-hash={hashed} --x", base64.b64decode(hashed).decode()):
        assert Redaction({}).find(text.encode()) == "a password's hash"
        clean = Redaction({}).scrub(text.encode())
        assert Redaction({}).find(clean) is None


def test_nothing_is_found_where_nothing_is() -> None:
    """What looks like nothing secret stays as it is; a secret too short to be told from chance is not looked for."""
    text = b"2026-01-31T12:00:00Z DEBUG p1234567890abcdef eyJhbGciOi certificate -----BEGIN CERTIFICATE-----"
    assert REDACTION.find(text) is None
    assert REDACTION.scrub(text) == text
    assert Redaction({"short": "DEBUG"}).find(text) is None


def test_secrets_of_the_environment_are_known_by_name_and_by_their_place_in_a_url() -> None:
    """What is a path, a short setting or an address without a password is none."""
    variables = {
        "API_TOKEN": "abcdef012345",
        "MYSQL_PWD": "hunter2hunter2",
        "PWD": "/home/user",
        "DATABASE_URL": "postgres://user:sup3rs3cret@host/db?x=1",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "KEYMAP": "us",
        "LANG": "C.UTF-8",
    }
    assert secrets_among(variables) == {
        "API_TOKEN": "abcdef012345",
        "MYSQL_PWD": "hunter2hunter2",
        "DATABASE_URL": "sup3rs3cret",
    }
