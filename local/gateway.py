"""Runs the gateway of a deployed stack as a server on this machine, with the settings of its function.

The local AWS collects the output of a function before it passes it on, so streams need this server.
"""

from __future__ import annotations

import argparse
import os
import sys

import boto3

FUNCTION = "GatewayFunction"


def settings(stack_name: str, endpoint: str) -> dict[str, str]:
    """The environment variables of the stack's function."""
    resources = boto3.client("cloudformation", endpoint_url=endpoint)
    detail = resources.describe_stack_resource(StackName=stack_name, LogicalResourceId=FUNCTION)
    name = detail["StackResourceDetail"]["PhysicalResourceId"].rsplit(":", 1)[-1]
    function = boto3.client("lambda", endpoint_url=endpoint).get_function_configuration(FunctionName=name)
    variables: dict[str, str] = function["Environment"]["Variables"]
    return variables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True, help="URL of the local AWS")
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--binary", required=True, help="the program fn-gateway")
    parser.add_argument("--listen", required=True, help="address and port, such as 127.0.0.1:8080")
    arguments = parser.parse_args()
    variables = settings(arguments.stack_name, arguments.endpoint)
    sys.stdout.flush()
    os.execve(
        arguments.binary,
        [arguments.binary],
        {**os.environ, **variables, "SENTRY_GATEWAY_LISTEN": arguments.listen},
    )


if __name__ == "__main__":
    main()
