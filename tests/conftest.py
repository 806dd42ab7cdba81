"""Command-line options, and the stack that all end-to-end tests use."""

import json
import os
from pathlib import Path

import pytest

from client_programs import Programs
from gateway_client import Client
from sentry_client import PLENTY, Sentry, unique
from sentry_command import Command

os.environ.setdefault("AWS_DISABLE_HOST_PREFIX_INJECTION", "true")


def pytest_addoption(parser):
    group = parser.getgroup("cost sentry")
    group.addoption(
        "--endpoint", help="URL of the local AWS, or `aws` for the account of the environment's credentials"
    )
    group.addoption("--stack-name", default="cost-sentry", help="name of the deployed stack")
    group.addoption(
        "--lambda-stack-name",
        help="a stack beside it with ModelInvocation=lambda, whose answers those of a native stack are compared with",
    )
    group.addoption("--bedrock-endpoint", help="URL of the Bedrock simulator")
    group.addoption("--gateway-endpoint", help="URL of the gateway, which runs as a server beside the local AWS")
    group.addoption("--gateway-https-endpoint", help="URL of HTTPS in front of that server")
    group.addoption("--gateway-certificate", help="the file with the certificate that clients of HTTPS must trust")
    group.addoption("--clients", help="the virtual environment with clients of the gateway (`cargo xtask clients`)")
    group.addoption("--log-dir", help="directory with the logs of the local AWS, searched for prompt and answer texts")
    group.addoption("--region", help="AWS Region of the stack")
    group.addoption("--sentry-command", help="the program `sentry`, of the crate sentry-cli")
    group.addoption(
        "--without-ledger",
        help="the program that decides by CloudWatch alone, for comparison (example `without_ledger` of fn-reserve)",
    )
    group.addoption("--repetitions", type=int, default=1, help="how often a hundred clients meet a budget for ten")
    group.addoption("--faults", type=int, default=300, help="faults of the crash campaign, at least")
    group.addoption("--stream-faults", type=int, default=60, help="faults of the campaign in streams, at least")
    group.addoption("--bad-keys", type=int, default=400, help="keys that are not valid, sent to the gateway")
    group.addoption("--fuzz-requests", type=int, default=1500, help="damaged requests, sent to the gateway")
    group.addoption("--month", help="the folder of a simulated month (`cargo xtask month`), for its dashboard")


def pytest_ignore_collect(collection_path, config):
    # A run without a simulated month has nothing to compare with.
    return True if collection_path.name == "test_dashboard_month.py" and not config.getoption("--month") else None


def pytest_collection_modifyitems(config, items):
    # Tests that check the whole run come last: the exchanges with Bedrock, and the search through the logs.
    last = ["test_wire_shapes.py", "test_logs.py"]
    items.sort(key=lambda item: last.index(item.path.name) + 1 if item.path.name in last else 0)
    endpoint = config.getoption("--endpoint")
    for item in items:
        if "sentry" not in getattr(item, "fixturenames", ()):
            continue
        if endpoint is None:
            item.add_marker(pytest.mark.skip(reason="no --endpoint"))
        elif item.get_closest_marker("local") and (endpoint == "aws" or not config.getoption("--bedrock-endpoint")):
            item.add_marker(pytest.mark.skip(reason="needs the local AWS and --bedrock-endpoint"))


def pytest_terminal_summary(terminalreporter, config):
    if retries := getattr(config, "sentry_retries", 0):
        terminalreporter.line(f"{retries} requests were retried, because a function timed out on this slow machine")


@pytest.fixture(scope="session")
def sentry(request):
    """The deployed stack. Its `default` limit is generous during the whole run."""
    option = request.config.getoption
    endpoint = option("--endpoint")
    stack = Sentry(
        None if endpoint == "aws" else endpoint,
        option("--stack-name"),
        option("--bedrock-endpoint"),
        option("--region"),
    )
    try:
        with stack.default_item({"limit": {"input": PLENTY, "output": PLENTY}}):
            yield stack
    finally:
        stack.delete_own_limits()
        request.config.sentry_retries = stack.retries


@pytest.fixture(scope="session")
def command(sentry, request):
    """The command `sentry`, for the deployed stack. Bedrock and the tagging API are the simulator's."""
    program = request.config.getoption("--sentry-command")
    if program is None:
        pytest.skip("no --sentry-command")
    simulator = request.config.getoption("--bedrock-endpoint")
    services = ["AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API"]
    variables = dict.fromkeys(services, simulator) if simulator else {}
    return Command(program, sentry.stack_name, sentry.endpoint, sentry.region, variables)


@pytest.fixture(scope="session")
def url(request, sentry):
    """The URL of the gateway."""
    endpoint = request.config.getoption("--gateway-endpoint")
    if endpoint is None:
        pytest.skip("no --gateway-endpoint; the stack needs Gateway=on")
    return endpoint


@pytest.fixture(scope="session")
def client(url, command):
    """Returns a function that makes a client with a new key, by default of a new cost center."""

    def make(*options, center=None):
        center = center or unique("gateway")
        made = json.loads(
            command(
                "keys", "create", "--application", "e2e-gateway", "--cost-center", center, "--output", "json", *options
            )
        )
        return Client(url, center, made["key"])

    return make


@pytest.fixture(scope="session")
def programs(request, url):
    """The client programs of `clients/`, for the gateway's HTTPS."""
    named = [
        request.config.getoption(name) for name in ("--clients", "--gateway-https-endpoint", "--gateway-certificate")
    ]
    if not all(named):
        pytest.skip("no --clients, --gateway-https-endpoint or --gateway-certificate")
    environment, https, certificate = named
    return Programs(Path(environment), https, certificate)


@pytest.fixture
def say(request):
    """Returns a function that prints a line even if pytest captures output."""
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def line(text=""):
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    line()
    return line
