"""An AWS that refuses some calls, as for a caller without the permission, and passes all others on."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import replace

from sentry_command import Command

JSON = b'{"__type":"com.amazon.coral.service#AccessDeniedException","message":"not authorized"}'
XML = (
    b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized</Message></Error>"
    b"<RequestId>1</RequestId></ErrorResponse>"
)
# A map with the text `AccessDenied` under `__type`.
CBOR = b"\xa1\x66__type\x6cAccessDenied"


@contextmanager
def denying(command: Command, is_denied: Callable[[str], bool]):
    """The command with an AWS that refuses the operations for which `is_denied` is true, such as `DynamoDB_20120810.Scan`.

    An operation of the protocols Query and CBOR has no service before its name, such as `ListStackResources`.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target")
            is_cbor = self.headers.get("smithy-protocol") == "rpc-v2-cbor"
            if target:
                operation, denied = target, (400, JSON, "application/x-amz-json-1.0")
            elif is_cbor:
                operation, denied = self.path.rsplit("/", 1)[-1], (400, CBOR, "application/cbor")
            else:
                operation = urllib.parse.parse_qs(body.decode(errors="replace")).get("Action", [""])[0]
                denied = (403, XML, "text/xml")
            if is_denied(operation):
                return self.answer(*denied)
            kept = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            call = urllib.request.Request(command.endpoint + self.path, body, kept, method="POST")
            try:
                with urllib.request.urlopen(call, timeout=30) as answer:
                    self.answer(answer.status, answer.read(), answer.headers["Content-Type"])
            except urllib.error.HTTPError as error:
                self.answer(error.code, error.read(), error.headers["Content-Type"])

        def answer(self, status, body, content_type):
            self.send_response(status)
            self.send_header("Content-Type", content_type or "text/xml")
            if self.headers.get("smithy-protocol"):
                self.send_header("smithy-protocol", self.headers["smithy-protocol"])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield replace(command, endpoint=f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()
        server.server_close()
