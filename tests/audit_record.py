"""The audit record: its schema, and the records of a log group."""

import json
from pathlib import Path

from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((ROOT / "docs" / "audit-record.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA)


def problems(record):
    """Returns what the schema finds wrong with a record, as texts with the path."""
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(record)]


def records(events):
    """Returns the audit records among log events, which are pairs of a group and a message."""
    lines = [json.loads(message) for _, message in events if message.startswith("{")]
    return [line for line in lines if line.get("message") == "request"]
