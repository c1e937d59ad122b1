"""Requests to a gateway over HTTP, as an S3 client would send them."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

from tests.waiting import GIVE_UP_SECONDS

from snapstorm.gateway.app import Served
from snapstorm.gateway.storage import Clocks

CLOCKS = Clocks(lambda: 5 * 10**9, time.monotonic)
KEY = "0123"
SIGNED = {"authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/2022/us-east-1/s3/aws4_request, Signature=y"}


def send(gateway: Served, method: str, path: str, body: bytes) -> http.client.HTTPConnection:
    """Send a request, and wait for no answer."""
    connection = http.client.HTTPConnection(urlsplit(gateway.endpoint).netloc, timeout=GIVE_UP_SECONDS)
    connection.request(method, f"/snapstorm{path}", body, SIGNED)
    return connection


def ask(
    gateway: Served,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] = SIGNED,
    bucket: str = "/snapstorm",
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(gateway.endpoint).netloc, timeout=GIVE_UP_SECONDS)
    try:
        connection.request(method, f"{bucket}{path}", body, headers)
        response = connection.getresponse()
        return response.status, response.read(), dict(response.headers)
    finally:
        connection.close()
