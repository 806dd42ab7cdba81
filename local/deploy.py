"""Deploys `template.yaml` to the local AWS, with the functions that `cargo build` compiled for this machine.

Prints the stack's outputs as one JSON object to stdout. Messages about progress and about omitted resources go to
stderr.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

import sam_template as templates
from sam_template import SERVERLESS_FUNCTION, SERVERLESS_STATE_MACHINE, Template, TemplateError

BUCKET = "cost-sentry-artifacts"
ENDED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
DEPLOY_TIMEOUT_SECONDS = 120.0
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]


class DeployError(Exception):
    """The stack could not be deployed. The message is for the user at the terminal."""


@dataclass(frozen=True)
class Options:
    """The options of the command line."""

    endpoint: str
    template: Path
    stack_name: str
    binaries: Path
    parameters: dict[str, str]


def say(line: str) -> None:
    """Prints one line for the user at the terminal."""
    print(line, file=sys.stderr, flush=True)


def client(service: str, endpoint: str) -> Any:
    """A boto3 client of the local AWS."""
    config = Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}, inject_host_prefix=False)
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    )


class Artifacts:
    """A bucket of the local AWS. A key is the hash of its content, so nothing is uploaded twice."""

    def __init__(self, endpoint: str) -> None:
        self._s3 = client("s3", endpoint)
        self._s3.create_bucket(Bucket=BUCKET)

    def has(self, key: str) -> bool:
        """True if the bucket has this object."""
        try:
            self._s3.head_object(Bucket=BUCKET, Key=key)
        except ClientError:
            return False
        return True

    def put(self, key: str, body: bytes) -> None:
        """Stores an object under this key."""
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def zipped(binary: bytes) -> bytes:
    """The deployment package of a function: the binary as an executable file `bootstrap`."""
    entry = zipfile.ZipInfo("bootstrap", date_time=(1980, 1, 1, 0, 0, 0))
    entry.external_attr = 0o100755 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr(entry, binary, compresslevel=1)
    return buffer.getvalue()


def packaged(path: Path) -> tuple[str, Path]:
    """The SHA-256 of a binary, and its deployment package. The package is kept beside the binaries, because compression takes
    most of the time of a deployment.
    """
    binary = path.read_bytes()
    digest = hashlib.sha256(binary).hexdigest()
    folder = path.parent / "packages"
    package = folder / f"{path.name}-{digest}.zip"
    if not package.is_file():
        folder.mkdir(exist_ok=True)
        for old in folder.glob(f"{path.name}-{'[0-9a-f]' * len(digest)}.zip"):
            old.unlink(missing_ok=True)
        # Several deployments can run at once. Each of them sees only whole packages.
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as written:
            written.write(zipped(binary))
        Path(written.name).replace(package)
    return digest, package


def package_function(name: str, body: dict[str, Any], binaries: Path, artifacts: Artifacts) -> None:
    """Uploads the function's binary and sets CodeUri to it."""
    binary_name = body.get("Metadata", {}).get("BuildProperties", {}).get("Binary")
    if not binary_name:
        raise TemplateError(f"{name} has no Metadata.BuildProperties.Binary")
    path = binaries / binary_name
    if not path.is_file():
        raise TemplateError(f"{name}: {path} does not exist; is there a crate {binary_name}?")
    digest, package = packaged(path)
    key = f"functions/{binary_name}/{digest}.zip"
    if not artifacts.has(key):
        artifacts.put(key, package.read_bytes())
    body["Properties"]["CodeUri"] = {"Bucket": BUCKET, "Key": key}


def package_state_machine(name: str, body: dict[str, Any], root: Path, artifacts: Artifacts) -> None:
    """Checks the definition's placeholders, uploads the definition, and sets DefinitionUri to it."""
    uri = body["Properties"].get("DefinitionUri")
    if not isinstance(uri, str):
        raise TemplateError(f"{name}: DefinitionUri must name a file")
    definition = (root / uri).read_text(encoding="utf-8")
    json.loads(definition)
    templates.check_substitutions(name, definition, body["Properties"].get("DefinitionSubstitutions", {}))
    key = f"statemachines/{Path(uri).stem}/{hashlib.sha256(definition.encode()).hexdigest()}.json"
    if not artifacts.has(key):
        artifacts.put(key, definition.encode())
    body["Properties"]["DefinitionUri"] = {"Bucket": BUCKET, "Key": key}


def engine_supports(resource_type: str) -> bool:
    """True if the engine's own table of resource types contains this type."""
    from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

    return resource_type in _RESOURCE_HANDLERS


def prepare(options: Options) -> Template:
    """The template in a form that the local AWS can deploy."""
    template = templates.load(options.template)
    for note in templates.drop_unsupported(template, engine_supports, options.parameters):
        say(f"left out on the local AWS: {note}")
    artifacts = Artifacts(options.endpoint)
    functions = templates.of_type(template, SERVERLESS_FUNCTION)
    # Most of the time is for compression, which runs on all processors at once.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        packages = [pool.submit(package_function, *each, options.binaries, artifacts) for each in functions.items()]
        for package in packages:
            package.result()
    for name, body in templates.of_type(template, SERVERLESS_STATE_MACHINE).items():
        package_state_machine(name, body, options.template.parent, artifacts)
    return template


def upload_template(template: Template, options: Options) -> str:
    """Stores the template in the bucket and returns its URL. A template inside the call could have only 51,200 bytes."""
    body = json.dumps(template, default=str).encode()
    key = f"templates/{hashlib.sha256(body).hexdigest()}.json"
    Artifacts(options.endpoint).put(key, body)
    return f"{options.endpoint}/{BUCKET}/{key}"


def stack_status(cloudformation: Any, stack_name: str) -> str | None:
    """The status of the stack, or None if the stack does not exist."""
    try:
        stacks = cloudformation.describe_stacks(StackName=stack_name)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return str(stacks[0]["StackStatus"]) if stacks else None


def apply(cloudformation: Any, options: Options, url: str) -> None:
    """Creates or updates the stack. If an earlier creation failed, that stack is deleted first."""
    request = {
        "StackName": options.stack_name,
        "TemplateURL": url,
        "Capabilities": CAPABILITIES,
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in options.parameters.items()],
    }
    status = stack_status(cloudformation, options.stack_name)
    if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"):
        cloudformation.delete_stack(StackName=options.stack_name)
        wait_until_settled(cloudformation, options.stack_name)
        status = None
    if status in (None, "DELETE_COMPLETE"):
        cloudformation.create_stack(**request)
        return
    try:
        cloudformation.update_stack(**request)
    except ClientError as error:
        if "No updates are to be performed" not in str(error):
            raise
        say("the stack is up to date")


def wait_until_settled(cloudformation: Any, stack_name: str) -> str | None:
    """Waits until no operation is in progress, and returns the status."""
    deadline = time.monotonic() + DEPLOY_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        status = stack_status(cloudformation, stack_name)
        if status is None or not status.endswith("_IN_PROGRESS"):
            return status
        time.sleep(0.1)
    raise DeployError(f"the stack {stack_name} has not settled within {DEPLOY_TIMEOUT_SECONDS:.0f} s")


def failures(cloudformation: Any, stack_name: str) -> list[str]:
    """The failed events since the start of the last create or update, one line for each, oldest first."""
    lines: list[str] = []
    for event in cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]:
        status, name = event["ResourceStatus"], event["LogicalResourceId"]
        if name == stack_name and status in ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"):
            break
        if status.endswith("_FAILED"):
            lines.append(f"{name} ({event.get('ResourceType', '?')}): {event.get('ResourceStatusReason', '?')}")
    return lines[::-1]


def outputs(cloudformation: Any, stack_name: str) -> dict[str, str]:
    """The outputs of the stack by name."""
    stack = cloudformation.describe_stacks(StackName=stack_name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}


def check_deployed(options: Options, cloudformation: Any) -> None:
    """Finds problems that the engine accepts silently: functions without code, and placeholders that were not replaced."""
    checks = {"AWS::Lambda::Function": check_function, "AWS::StepFunctions::StateMachine": check_state_machine}
    for resource in cloudformation.describe_stack_resources(StackName=options.stack_name)["StackResources"]:
        check = checks.get(resource["ResourceType"])
        if check:
            check(options.endpoint, resource["LogicalResourceId"], resource["PhysicalResourceId"])


def check_function(endpoint: str, name: str, physical_id: str) -> None:
    """Checks that a function has code. Without code, it would answer with a mock."""
    if not client("lambda", endpoint).get_function(FunctionName=physical_id)["Configuration"]["CodeSize"]:
        raise DeployError(f"{name} was deployed without its code")


def check_state_machine(endpoint: str, name: str, physical_id: str) -> None:
    """Checks that no placeholder is left. It would fail the first execution that reaches it."""
    definition = client("stepfunctions", endpoint).describe_state_machine(stateMachineArn=physical_id)["definition"]
    left = templates.PLACEHOLDER.findall(definition)
    if left:
        raise DeployError(f"{name} was deployed with unresolved placeholders: {', '.join(left)}")


def deploy(options: Options) -> dict[str, str]:
    """Deploys the stack and returns its outputs."""
    url = upload_template(prepare(options), options)
    cloudformation = client("cloudformation", options.endpoint)
    apply(cloudformation, options, url)
    status = wait_until_settled(cloudformation, options.stack_name)
    if status not in ENDED:
        reasons = failures(cloudformation, options.stack_name)
        raise DeployError("\n  ".join([f"the stack {options.stack_name} ended as {status}:", *reasons]))
    check_deployed(options, cloudformation)
    return outputs(cloudformation, options.stack_name)


def parse_parameter(text: str) -> tuple[str, str]:
    """Splits `Name=Value` into a pair."""
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not Name=Value")
    return name, value


def options_from(arguments: list[str]) -> Options:
    """Parses the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True, help="URL of the local AWS")
    parser.add_argument("--template", required=True, type=Path)
    parser.add_argument("--stack-name", default="cost-sentry")
    parser.add_argument("--binaries", required=True, type=Path, help="folder of the functions' binaries")
    parser.add_argument("--parameter", action="append", default=[], type=parse_parameter, metavar="NAME=VALUE")
    parsed = parser.parse_args(arguments)
    return Options(parsed.endpoint, parsed.template, parsed.stack_name, parsed.binaries, dict(parsed.parameter))


def main() -> int:
    """Deploys and prints the outputs. Returns 1 if the deployment failed."""
    try:
        print(json.dumps(deploy(options_from(sys.argv[1:])), indent=2))
    except (DeployError, TemplateError, ClientError, BotoCoreError, OSError, json.JSONDecodeError) as error:
        say(f"deploy failed: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
