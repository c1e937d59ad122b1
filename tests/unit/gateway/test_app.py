"""The gateway answers over HTTP, lets in whom it knows, and applies nothing that did not arrive whole."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.unit.gateway.asking import CLOCKS, SIGNED, ask

from snapstorm.errors import HarnessError
from snapstorm.gateway.app import Served, serving


def test_an_object_is_stored_read_listed_and_deleted(gateway: Served) -> None:
    assert ask(gateway, "PUT", "/p/a%20b", b"hello")[0] == 200
    assert ask(gateway, "GET", "/p/a%20b")[:2] == (200, b"hello")
    status, body, headers = ask(gateway, "GET", "/p/a%20b", headers={**SIGNED, "range": "bytes=1-2"})
    assert (status, body, headers["content-range"]) == (206, b"el", "bytes 1-2/5")
    status, body, headers = ask(gateway, "HEAD", "/p/a%20b")
    assert (status, body, headers["content-length"]) == (200, b"", "5")
    assert headers["last-modified"] == "Thu, 01 Jan 1970 00:00:05 GMT"
    assert b"<Key>p/a b</Key>" in ask(gateway, "GET", "?list-type=2&prefix=p%2F")[1]
    assert ask(gateway, "DELETE", "/p/a%20b")[0] == 204
    assert ask(gateway, "GET", "/p/a%20b")[0] == 404
    assert ask(gateway, "DELETE", "/p/a%20b")[0] == 204
    writes = gateway.ask(lambda storage: list(storage.log.writes()))
    assert [(write.actor, write.key, write.content is None) for write in writes] == [
        ("a client", "p/a b", False),
        ("a client", "p/a b", True),
    ]
    assert all(write.acknowledged is not None for write in writes)


@pytest.mark.parametrize("headers", [{}, {"authorization": "AWS4-HMAC-SHA256 Credential=other/2022/r/s3/aws4_request"}])
def test_strangers_are_refused(gateway: Served, headers: dict[str, str]) -> None:
    assert ask(gateway, "PUT", "/a", b"hello", headers)[0] == 403
    assert gateway.ask(lambda storage: list(storage.log.writes())) == []


def test_an_upload_that_breaks_off_is_not_applied(gateway: Served) -> None:
    address = urlsplit(gateway.endpoint)
    with socket.create_connection((address.hostname, address.port)) as connection:
        head = f"PUT /snapstorm/a HTTP/1.1\r\nhost: x\r\nauthorization: {SIGNED['authorization']}\r\n"
        connection.sendall(f"{head}content-length: 9\r\n\r\nhalf".encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1000):
            pass
    assert ask(gateway, "GET", "/a")[0] == 404
    gateway.check()


def test_what_can_not_be_kept_is_not_acknowledged_and_the_run_is_told(gateway: Served, tmp_path: Path) -> None:
    ask(gateway, "PUT", "/a", b"hello")
    (tmp_path / "gateway" / "contents").write_bytes(b"")
    assert ask(gateway, "GET", "/a")[0] == 500
    with pytest.raises(HarnessError, match="could not keep"):
        gateway.check()


def test_a_directory_that_can_not_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="can't be started"), serving(tmp_path / "file", CLOCKS):
        pass
