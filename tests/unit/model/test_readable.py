"""Texts with bytes that are not UTF-8 get one readable form."""

from __future__ import annotations

import json
import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from snapstorm.model.readable import as_bytes_in_hex, readable
from snapstorm.report.text import dump_json, printable


def test_a_byte_that_is_not_utf8_is_an_escape() -> None:
    r"""Always `\xff`, for one byte as well as for several; what is UTF-8 stays as it is."""
    assert readable(os.fsdecode(b"a\xff\xc3/\xc3\x95")) == r"a\xff\xc3/Õ"
    assert readable("\udcc3\udc95") == "Õ", "as Python has it where the locale is ASCII"
    assert readable("\ud800a") == r"\ud800a"
    assert printable(os.fsdecode(b"\xff\x1b")) == r"\xff\x1b"
    assert as_bytes_in_hex("Õ") == r"\xc3\x95"


@given(st.text(st.characters()))
def test_every_text_can_be_encoded(text: str) -> None:
    """Whatever is in it; and a text that already can be is not changed."""
    shown = readable(text)
    shown.encode()
    assert readable(shown) == shown


def test_json_has_no_surrogates(tmp_path: Path) -> None:
    """In keys and values at any depth; other text, also beyond 16 bits, is kept."""
    name = os.fsdecode(b"\xff")
    found = json.loads(dump_json({name: [{"path": name, "more": (name, 1, None)}], "smile": "😀"}))
    assert found == {r"\xff": [{"path": r"\xff", "more": [r"\xff", 1, None]}], "smile": "😀"}
