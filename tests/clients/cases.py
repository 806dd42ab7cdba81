"""Code of all client programs. It reads cases from stdin as JSON, and prints a line of JSON for each.

A case has a model, a text and the maximum of tokens. A client program is started with the address and the key in its
environment, and has nothing of its own that a client of Bedrock itself would not have.
"""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def run(ask: Callable[..., Any], stream: Callable[..., Iterable[str]], **more: Callable[..., Any]) -> None:
    """Calls `ask`, or what the field `call` of a case names: `stream`, or a function of `more`."""
    calls: dict[str, Callable[..., Any]] = {"ask": ask, "stream": lambda **case: read(stream(**case)), **more}
    for name, case in json.load(sys.stdin).items():
        call = calls[case.pop("call", "ask")]
        try:
            answer = call(**case)
            result = answer if isinstance(answer, dict) else {"said": answer}
        except Exception as error:
            result = {"error": type(error).__name__, "message": str(error)}
        print(json.dumps({"case": name, **result}), flush=True)


def read(pieces: Iterable[str]) -> dict[str, object]:
    """The text of a stream, and the seconds between its first and its last piece."""
    timed = list(timing(pieces))
    return {"said": "".join(piece for piece, _ in timed), "seconds": timed[-1][1] - timed[0][1] if timed else 0}


def timing(pieces: Iterable[str]) -> Iterator[tuple[str, float]]:
    for piece in pieces:
        if piece:
            yield piece, time.monotonic()
