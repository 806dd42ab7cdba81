"""Writes the state machines from their sources, or compares them with their sources.

Both workflows call the model in the same way. So these states have one common source,
`statemachines/source/model-call.json`. A host includes it with `"@include": {"file": …, "@done": …, "@read": …}`.
`@done` and `@read` name the host's states that follow.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

INCLUDE = "@include"
HOSTS = ("rate-limiter", "model-router")


def resolved(value: Any, places: dict[str, str]) -> Any:
    """`value` with `@done` and `@read` replaced by the host's states."""
    if isinstance(value, dict):
        return {key: resolved(each, places) for key, each in value.items()}
    if isinstance(value, list):
        return [resolved(each, places) for each in value]
    return places.get(value, value) if isinstance(value, str) else value


def assembled(source: Path, host: str) -> dict[str, Any]:
    """The complete definition of `host`, with the included states."""
    definition: dict[str, Any] = json.loads((source / f"{host}.json").read_text())
    states: dict[str, Any] = {}
    for name, state in definition["States"].items():
        added = {name: state}
        if name == INCLUDE:
            places = {key: value for key, value in state.items() if key != "file"}
            added = resolved(json.loads((source / state["file"]).read_text()), places)
        if double := states.keys() & added.keys():
            raise SystemExit(f"{host}: the states {sorted(double)} stand there twice")
        states |= added
    return definition | {"States": states}


def written(value: Any, indent: str = "") -> str:
    """JSON with an indentation of two spaces. Lists of scalars are on one line."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        fields = [f"{inner}{json.dumps(key)}: {written(each, inner)}" for key, each in value.items()]
        return "{\n" + ",\n".join(fields) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(each, (dict, list)) for each in value):
        return "[\n" + ",\n".join(inner + written(each, inner) for each in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Writes both files. With `--check`, it only compares them, and exits with 1 if they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder statemachines")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    for host in HOSTS:
        target = arguments.folder / f"{host}.asl.json"
        text = written(assembled(arguments.folder / "source", host)) + "\n"
        if not arguments.check:
            target.write_text(text)
        elif not target.exists() or target.read_text() != text:
            sys.exit(f"{target} is not what its sources say; run `cargo xtask states`")


if __name__ == "__main__":
    main()
