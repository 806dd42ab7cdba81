"""Keys that are not valid, of every kind, and the answer of the gateway to one."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

KINDS = ("unknown", "expired", "disabled", "malformed")
BODY = json.dumps({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]})
# So many stored keys of a kind are used in turns. The gateway keeps no key, so it cannot know one again.
STORED = 50


def malformed(number: int) -> str:
    """A text that is no key. The forms are used in turns."""
    key = f"csk_{secrets.token_hex(32)}"
    forms = (key.upper(), key[:-1], f"{key}0", f"{key[:-1]}g", f"csk-{key[4:]}", "x" * 5000, f" {key}", "csk_")
    return forms[number % len(forms)]


def bad_keys(add: Callable[..., str], count: int) -> list[tuple[str, str]]:
    """`count` keys with their kinds, which take turns. `add` stores a key with attributes, and returns its text."""
    expired = [add(expiresAt={"S": "2026-01-01T00:00:00Z"}) for _ in range(STORED)]
    disabled = [add(enabled={"BOOL": False}) for _ in range(STORED)]
    makers: dict[str, Callable[[int], str]] = {
        "unknown": lambda _: f"csk_{secrets.token_hex(32)}",
        "expired": lambda number: expired[number % STORED],
        "disabled": lambda number: disabled[number % STORED],
        "malformed": malformed,
    }
    return [(kind, makers[kind](number)) for number in range(count // len(KINDS)) for kind in KINDS]


def status_and_time(url: str, key: str) -> tuple[int, bytes, float]:
    """The status and the body of the answer to a key, and its time in milliseconds."""
    headers: dict[str, Any] = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    address = urlsplit(url)
    # A server that has not read the body of a refused request may close the connection.
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
    connection.connect()
    begun = time.perf_counter()
    connection.request("POST", "/model/nova-lite/converse", BODY, headers)
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - begun) * 1000
    connection.close()
    return answer.status, body, took
