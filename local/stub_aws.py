"""A stub of AWS for the measurement of the functions. It answers at once, and always in the same way.

It supports CloudWatch in its CBOR protocol (without usage, and with every write accepted), DynamoDB (one limit,
`default`, an empty catalogue table, an empty usage history, and a ledger in which every condition holds), SQS, Bedrock's Converse and CountTokens, and inference profiles (none).
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import cbor2

CBOR, JSON, DYNAMODB_JSON = "application/cbor", "application/json", "application/x-amz-json-1.0"
LIMIT = {"modelId": {"S": "default"}, "limit": {"M": {"input": {"N": "1000000000"}, "output": {"N": "1000000000"}}}}
# An item of the ledger, as DynamoDB returns it after a change.
LEDGER_ITEM = {
    "scope": {"S": "model#bench"},
    "window": {"S": "2026-11"},
    **{
        f"{counter}{unit}": {"N": number}
        for unit in ("Input", "Output", "Usd")
        for counter, number in (("settled", "1000"), ("held", "0"), ("committed", "1000"))
    },
}
FIXED_ANSWERS: dict[str, dict[str, Any]] = {
    "PutItem": {},
    "DeleteItem": {},
    "UpdateItem": {"Attributes": LEDGER_ITEM},
    "TransactWriteItems": {},
    "SendMessage": {"MessageId": "1", "MD5OfMessageBody": "0"},
    "GetResources": {"ResourceTagMappingList": [], "PaginationToken": ""},
    "Query": {"Items": [], "Count": 0, "ScannedCount": 0},
    "Scan": {"Items": [LEDGER_ITEM], "Count": 1, "ScannedCount": 1},
}
CONVERSED: dict[str, Any] = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Storage that grows with you."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 21, "outputTokens": 6, "totalTokens": 27},
    "metrics": {"latencyMs": 1},
}


def metric_data(request: dict[str, Any]) -> dict[str, Any]:
    """A complete result for every query, without values."""
    results = [
        {"Id": query["Id"], "Label": "x", "StatusCode": "Complete", "Timestamps": [], "Values": []}
        for query in request["MetricDataQueries"]
    ]
    return {"MetricDataResults": results, "Messages": []}


def get_item(request: dict[str, Any]) -> dict[str, Any]:
    """A key of the gateway, or an item of the ledger. The catalogue table, by the logical name of the template, has no
    item.
    """
    if hashed := request["Key"].get("keyHash"):
        return {"Item": key_record(hashed)}
    return {} if request["TableName"] == "CatalogueTable" else {"Item": LEDGER_ITEM}


def key_record(hashed: dict[str, str]) -> dict[str, Any]:
    """The record of a valid key of the gateway."""
    return {"keyHash": hashed, "applicationId": {"S": "bench"}, "enabled": {"BOOL": True}}


def batch_get_item(request: dict[str, Any]) -> dict[str, Any]:
    """The same limit for every request, and each key of the gateway."""
    found = {}
    for table, wanted in request["RequestItems"].items():
        hashes = [key["keyHash"] for key in wanted["Keys"] if "keyHash" in key]
        found[table] = [key_record(hashed) for hashed in hashes] or [LIMIT]
    return {"Responses": found, "UnprocessedKeys": {}}


class Handler(BaseHTTPRequestHandler):
    """A connection from a function."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_POST(self) -> None:
        """Answers by the operation, which is in a header or in the path."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        if operation == "BatchGetItem":
            self.send(DYNAMODB_JSON, json.dumps(batch_get_item(json.loads(body))).encode())
        elif operation == "GetItem":
            self.send(DYNAMODB_JSON, json.dumps(get_item(json.loads(body))).encode())
        elif operation in FIXED_ANSWERS:
            self.send(DYNAMODB_JSON, json.dumps(FIXED_ANSWERS[operation]).encode())
        elif self.path.endswith("/GetMetricData"):
            self.send(CBOR, cbor2.dumps(metric_data(cbor2.loads(body))))
        elif self.path.endswith("/PutMetricData"):
            self.send(CBOR, cbor2.dumps({}))
        elif self.path.endswith("/ListMetrics"):
            self.send(CBOR, cbor2.dumps({"Metrics": []}))
        elif self.path.endswith("/converse"):
            self.send(JSON, json.dumps(CONVERSED).encode())
        elif self.path.endswith("/count-tokens"):
            self.send(JSON, json.dumps({"inputTokens": CONVERSED["usage"]["inputTokens"]}).encode())
        else:
            self.send_error(404, f"not stubbed: {self.path} {operation}")

    def do_GET(self) -> None:
        """Answers ListInferenceProfiles: there are none."""
        self.send(JSON, json.dumps({"inferenceProfileSummaries": []}).encode())

    def send(self, content_type: str, body: bytes) -> None:
        """Writes one successful answer to the connection."""
        self.send_response(200)
        if content_type == CBOR:
            self.send_header("smithy-protocol", "rpc-v2-cbor")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Suppresses the log line of each request."""


def start() -> str:
    """Starts the stub and returns its URL. The stub runs until this program ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"
