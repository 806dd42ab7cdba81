"""Two hundred documents through the workflow, the gateway and the queue: the same decisions, ledger and usage history.

Each door has cost centers of its own, with the same limits. What may differ:

- The queue does not answer `BudgetReserved`, `ModelThrottled` and other codes that a later attempt can change: the request comes
  again. A test below shows it, and test_queue.py has the rest.
- The requestId: the message's id in the queue. The form of an answer: the gateway answers as Bedrock does. Its errors have the
  sentry's code in a header, and no budget.
"""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from queue_client import RequestQueue, until
from sentry_client import InFlight, document, number, text, unique

pytestmark = pytest.mark.local

DOCUMENTS, AT_ONCE = 200, 8
DOORS = ("workflow", "gateway", "queue")
APPLICATION = "e2e-gateway"
MODELS = ["nova-lite", "nova-micro", "claude-haiku-4-5", "nova-pro", "us.anthropic.claude-haiku-4-5-20251001-v1:0"]
TOOL = {"name": "find", "inputSchema": {"json": {"type": "object", "properties": {}}}}
# The limits of the cost centers, by what they do. A decision must not depend on the order of the requests.
CENTERS = {
    "plenty": {"limit": {"output": 10_000_000, "usd": 100_000}},
    "none": None,
    "spent": {"limit": {"output": 0}},
    "stopped": {"limit": {"output": 1_000_000}, "stopped": "maintenance"},
    "small requests": {"limit": {"output": 1_000_000}, "perRequest": {"output": 100}},
    "malformed": {"limit": {"output": "many"}},
    "observed": {"limit": {"output": 1}, "enforce": "observe"},
    "dollars": {"limit": {"usd": 50}, "window": "day"},
    "clamped": {"limit": {"output": 25}, "whenExceeded": ["clamp"]},
    "replaced": {"limit": {"usd": number("0.005")}, "whenExceeded": ["fallback"]},
}
FAULTS = ["validation", "model-error", "access-denied", "not-found", "missing-usage", "empty"]


@dataclass
class Request:
    """A request in the words of Converse, which a document has too."""

    center: str
    model: str
    messages: list
    most: int | None = None
    more: dict = field(default_factory=dict)
    tools: bool = False
    system: str | None = None


def said(**directives):
    return [{"role": "user", "content": [{"text": text(**directives)}]}]


def approved(random):
    """A request that its model answers, in one of several forms."""
    model, tokens = random.choice(MODELS), random.randint(1, 40)
    center = random.choice(["plenty", "none", "observed", "dollars"])
    form = random.randrange(6)
    if form == 0:
        return Request(center, "claude-haiku-4-5", said(tool="find", output_tokens=tokens), most=100, tools=True)
    if form == 1:
        turns = [*said(), {"role": "assistant", "content": [{"text": "Which one?"}]}, *said(output_tokens=tokens)]
        return Request(center, model, turns, most=100, system="Be short.")
    if form == 2:
        return Request(center, model, said(wanted_tokens=tokens + 60), most=60)
    if form == 3:
        return Request(center, model, said(output_tokens=tokens, cache_read=random.randint(1, 50)), most=100)
    if form == 4:
        return Request(center, model, said(output_tokens=tokens, stop_reason="stop_sequence"), most=200)
    return Request(center, model, said(output_tokens=tokens))


def requests():
    """The requests. Each budget that can be used up has requests of one kind only, or one request."""
    random = Random(20)
    some = [approved(random) for _ in range(110)]
    some += [Request("plenty", random.choice(MODELS), said(fault=fault), most=20) for fault in FAULTS for _ in range(4)]
    some += [Request("spent", random.choice(MODELS), said(output_tokens=5), most=20) for _ in range(16)]
    some += [Request("stopped", "nova-lite", said(), most=20) for _ in range(8)]
    some += [Request("malformed", "nova-lite", said(), most=20) for _ in range(8)]
    some += [Request("small requests", "nova-lite", said(output_tokens=9), most=most) for most in (100, 101) * 6]
    some.append(Request("clamped", "nova-lite", said(wanted_tokens=200)))
    some.append(Request("replaced", "nova-pro", said(output_tokens=30), most=5_000))
    invalid = [
        Request("plenty", "no-such-model", said(), most=20),
        Request("plenty", "nova-lite", said(), most=2_000_000),
        Request("plenty", "nova-lite", [{"role": "robot", "content": [{"text": text()}]}], most=20),
        Request("plenty", "nova-lite", [], most=20),
        Request("plenty", "nova-lite", [{"role": "user", "content": [{"video": {}}]}], most=20),
        Request("plenty", "nova-lite", said(), most=0),
    ]
    some += [invalid[number % len(invalid)] for number in range(DOCUMENTS - len(some))]
    random.shuffle(some)
    return some


@dataclass(frozen=True)
class Ended:
    """The end of a request, without what may differ."""

    code: str | None
    content: str | None = None
    stopped: str | None = None
    usage: str | None = None
    usd: str | None = None
    degraded: str | None = None


def same(value):
    return json.dumps(value, sort_keys=True)


def of_document(answer):
    """The end that an answer document tells."""
    if "error" in answer:
        return Ended(answer["error"]["code"])
    usage = {name: answer["usage"][name] for name in ("inputTokens", "outputTokens", "totalTokens")}
    return Ended(
        None,
        same(answer["output"]["message"]["content"]),
        answer["output"]["stopReason"],
        same(usage),
        answer["cost"].get("usd"),
        answer.get("degraded", {}).get("action"),
    )


def of_bedrock(answer):
    """The end that an answer in Bedrock's form tells."""
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    usage = {name: answer["usage"][name] for name in ("inputTokens", "outputTokens", "totalTokens")}
    return Ended(
        None,
        same(answer["output"]["message"]["content"]),
        answer["stopReason"],
        same(usage),
        headers.get("x-sentry-cost-usd"),
        headers.get("x-sentry-degraded", "").partition(";")[0] or None,
    )


def lenient(client):
    """The client without boto3's own checks, so that the gateway sees what is wrong."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=60, parameter_validation=False)
    keys = {"aws_access_key_id": client.key, "aws_secret_access_key": "unused", "region_name": "us-east-1"}
    return boto3.client("bedrock-runtime", endpoint_url=client.url, config=config, **keys)


class Doors:
    """Sends one request through a door. The cost centers of each door have the same limits."""

    def __init__(self, sentry, client, queue):
        self.sentry, self.queue = sentry, queue
        self.centers = {door: {name: unique(f"e2e-{door}") for name in CENTERS} for door in DOORS}
        for centers in self.centers.values():
            for name, item in CENTERS.items():
                if item is not None:
                    sentry.set_limit(f"costCenter#{centers[name]}", **item)
        names = self.centers["gateway"].values()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            made = pool.map(lambda center: lenient(client(center=center)), names)
            self.clients = dict(zip(self.centers["gateway"], made, strict=True))

    def document(self, door, request):
        tags = {"applicationId": APPLICATION, "costCenter": self.centers[door][request.center]}
        parameters = None if request.most is None else {"max_tokens": request.most}
        sent = document(request.model, messages=request.messages or None, tags=tags, parameters=parameters)
        system = {"system": [{"text": request.system}]} if request.system else {}
        tools = {"tools": [{"toolSpec": TOOL}]} if request.tools else {}
        return {**sent, "prompt": {**sent["prompt"], "messages": request.messages, **system, **tools}}

    def workflow(self, request):
        return of_document(self.sentry.decided(self.document("workflow", request))[0])

    def gateway(self, request):
        more: dict = {"inferenceConfig": {"maxTokens": request.most}} if request.most is not None else {}
        if request.system:
            more["system"] = [{"text": request.system}]
        if request.tools:
            more["toolConfig"] = {"tools": [{"toolSpec": TOOL}]}
        bedrock = self.clients[request.center]
        try:
            return of_bedrock(bedrock.converse(modelId=request.model, messages=request.messages, **more))
        except ClientError as error:
            return Ended(error.response["ResponseMetadata"]["HTTPHeaders"]["x-sentry-code"])

    def send(self, request):
        return self.queue.send(self.document("queue", request))

    def history(self, door, name, requests):
        """The usage history of a cost center, once it has all requests. A request whose budget could not be known on a busy
        machine came again, so these denials are left out.
        """
        scope = f"costCenter#{self.centers[door][name]}"

        def found():
            history = Counter(self.sentry.history(scope, requests))
            again = {code: history.pop(f"denied#{code}", 0) for code in ("LedgerUnavailable", "UsageUnavailable")}
            history.subtract({"requests": sum(again.values()), "denied": sum(again.values())})
            return dict(+history) if history["requests"] >= requests else None

        return until(found, f"the history of {scope}")

    def ledger(self, door, name):
        """The settled and committed amounts of a cost center, over all items of its scope."""
        scope = f"costCenter#{self.centers[door][name]}"
        sums: Counter[str] = Counter()
        for name in (scope, *(f"{scope}##{shard}" for shard in range(16))):
            for item in self.sentry.ledger_items(name):
                sums.update(
                    {key: int(value) for key, value in item.items() if key.startswith(("settled", "committed"))}
                )
        return dict(sums)


@pytest.fixture(scope="module")
def doors(sentry, client):
    if "RequestQueueUrl" not in sentry.outputs:
        pytest.skip("the stack has AsyncConcurrency=0")
    return Doors(sentry, client, RequestQueue(sentry))


def through_all(doors, sent):
    """The ends of the requests by door. All doors work at the same time."""
    with ThreadPoolExecutor(AT_ONCE) as queueing, ThreadPoolExecutor(2 * AT_ONCE) as pool:
        ids = queueing.map(doors.send, sent)
        ended = {door: pool.map(getattr(doors, door), sent) for door in ("workflow", "gateway")}
        found = {door: list(ends) for door, ends in ended.items()}
        found["queue"] = list(queueing.map(lambda each: of_document(doors.queue.answer(APPLICATION, each)), list(ids)))
    return found


def test_two_hundred_documents_have_the_same_end_ledger_and_history_through_every_door(sentry, doors, say):
    sent = requests()
    assert len(sent) == DOCUMENTS
    found = through_all(doors, sent)
    differing = [
        (request.center, request.model, request.most, ends)
        for request, *ends in zip(sent, *found.values(), strict=True)
        if len(set(ends)) > 1
    ]
    assert not differing, f"{len(differing)} of {DOCUMENTS} differ: {differing[:3]}"
    codes = Counter(end.code for end in found["workflow"])
    say(f"{DOCUMENTS} documents through each of {len(DOORS)} doors: {dict(codes)}")
    denials = {"BudgetExceeded", "Stopped", "LimitMalformed", "RequestTooLarge"}
    failures = {"ModelRejectedRequest", "ModelAccessDenied", "ModelError"}
    assert set(codes) == {None, "InvalidRequest", "UnknownModel", *denials, *failures}
    assert {"clamp", "fallback"} <= {end.degraded for end in found["workflow"]}
    decided = Counter(
        request.center
        for request, end in zip(sent, found["workflow"], strict=True)
        if end.code not in {"InvalidRequest", "UnknownModel"}
    )
    for name in CENTERS:
        histories = [doors.history(door, name, decided[name]) for door in DOORS]
        assert histories[0] == histories[1] == histories[2], name
        amounts = [doors.ledger(door, name) for door in DOORS]
        assert amounts[0] == amounts[1] == amounts[2], name
        assert bool(amounts[0]) == (
            name in {"plenty", "observed", "dollars", "small requests", "clamped", "replaced"}
        ), name


def test_a_request_that_meets_a_hold_waits_in_the_queue_and_is_told_so_at_the_other_doors(sentry, doors, client):
    arn, bare = sentry.profile_arn()
    center = unique("e2e-held")
    sentry.set_limit(f"costCenter#{center}", {"output": 100})
    tags = {"applicationId": APPLICATION, "costCenter": center}
    slow = document(arn, tags=tags, parameters={"max_tokens": 90}, output_tokens=5, latency_ms=2500)
    small = document("nova-lite", tags=tags, parameters={"max_tokens": 20}, output_tokens=2)
    caller = client(center=center)
    with InFlight(sentry, slow, bare):
        queued = doors.queue.send(small)
        assert sentry.ask(small)["error"]["code"] == "BudgetReserved"
        assert caller.refused(max_tokens=20)[2] == "BudgetReserved"
    assert of_document(doors.queue.answer(APPLICATION, queued)).code is None
    assert sentry.ledger_settled(f"costCenter#{center}") == 7
