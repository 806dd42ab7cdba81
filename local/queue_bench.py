"""A campaign on the request queue, and the time that a small team waits beside a large one.

The campaign sends 5,000 messages at once to a budget for 3,000. A fifth of Bedrock's answers are throttled, and 100 functions of
the queue are killed. Every fifth message takes a used-up budget as its answer, the others wait for the reset. Then the clock moves
to the next hour. The program checks that every message has one answer, that nothing was paid twice, and that the budget of each
hour held.

The second part sends ten messages of a team to an idle queue, and then beside 4,000 messages of another team.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from bench import percentile
from cost_stack import functions_of
from deploy import client, outputs
from function_processes import kill_one
from movable_clock import MovableClock

TOKENS = 10
# Of 5,000 messages, 250 are throttled more often than a call of the model is repeated, so that they come again through the
# queue. As many are throttled once.
ALL_THROTTLED, ONCE_THROTTLED = 20, 20
FAULTS = 4
# Every message of this number takes a used-up budget as its answer.
ANSWERED_WHEN_EXCEEDED = 5
# A message whose function dies comes again after this time.
REDELIVERY_SECONDS = 15
PATIENCE_SECONDS = 3_600
POLL_SECONDS = 8
# The engine's line in its log about a function that ended without an answer.
DIED = "failed processing SQS batch"
# The most that a wait is longer than the answer says: the worker spreads them over a minute.
JITTER_SECONDS = 61
SMALL, ROUNDS, MODEL_MS = 10, 3, 300
# The large team's messages run for this time before the small team sends.
HEAD_START_SECONDS = 10
FAIR_RATIO = 10
BATCH = 10
Item = dict[str, Any]


class CampaignFailed(Exception):
    """A promise of the queue did not hold, or nothing moved. The message is for the user at the terminal."""


@dataclass
class Queue:
    """A deployed stack with a request queue, on a local AWS with a clock that can be moved."""

    endpoint: str
    bedrock: str
    engine: int
    names: dict[str, str]
    function: str
    clock: MovableClock
    log: Path
    sentry: list[str]
    sqs: Any = field(init=False)
    dynamodb: Any = field(init=False)

    def __post_init__(self) -> None:
        self.sqs, self.dynamodb = client("sqs", self.endpoint), client("dynamodb", self.endpoint)

    @property
    def url(self) -> str:
        """The URL of the request queue."""
        return self.names["RequestQueueUrl"]

    def limit(self, key: str, limit: Item, window: str) -> None:
        """Writes an item of the limits table."""
        numbers = {"M": {unit: {"N": str(value)} for unit, value in limit.items()}}
        item = {"modelId": {"S": key}, "limit": numbers, "window": {"S": window}}
        self.dynamodb.put_item(TableName=self.names["LimitsTableName"], Item=item)

    def send(self, messages: list[Item]) -> list[str]:
        """Sends all messages at once. Returns their ids, in their order."""
        batches = [messages[first : first + BATCH] for first in range(0, len(messages), BATCH)]
        with ThreadPoolExecutor(4) as pool:
            return [each for ids in pool.map(self._send_batch, batches) for each in ids]

    def _send_batch(self, messages: list[Item]) -> list[str]:
        entries = [{"Id": str(number), **message} for number, message in enumerate(messages)]
        sent = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        if sent.get("Failed"):
            raise CampaignFailed(f"messages were not accepted: {sent['Failed'][0]}")
        return [each["MessageId"] for each in sorted(sent["Successful"], key=lambda each: int(each["Id"]))]

    def items(self, application: str) -> dict[str, Item]:
        """All items of an application in the answers table, without their answers, by request."""
        pages = self.dynamodb.get_paginator("query").paginate(
            TableName=self.names["AnswersTableName"],
            KeyConditionExpression="applicationId = :application",
            ExpressionAttributeValues={":application": {"S": application}},
            ExpressionAttributeNames={"#state": "state", "#code": "code", "#outcome": "outcome"},
            ProjectionExpression="requestId, #state, #code, #outcome, interrupted, toldAt, notBefore",
            ConsistentRead=True,
        )
        found = [
            {name: next(iter(value.values())) for name, value in item.items()}
            for page in pages
            for item in page["Items"]
        ]
        return {item["requestId"]: item for item in found}

    def calls(self, model: str) -> int:
        """The number of calls that reached the simulator for a model, refused calls included."""
        with urllib.request.urlopen(f"{self.bedrock}/_sim/calls", timeout=10) as answer:
            return int(json.load(answer)["byModel"].get(model, 0))

    def settled(self, scope: str) -> dict[str, int]:
        """The settled output tokens of a scope, by window."""
        found = self.dynamodb.query(
            TableName=self.names["LedgerTableName"],
            KeyConditionExpression="#scope = :scope",
            ExpressionAttributeNames={"#scope": "scope"},
            ExpressionAttributeValues={":scope": {"S": scope}},
            ConsistentRead=True,
        )["Items"]
        return {item["window"]["S"]: int(item.get("settledOutput", {"N": "0"})["N"]) for item in found}

    def kill(self, chance: random.Random) -> bool:
        """Kills a function of the queue."""
        return kill_one(self.function, self.engine, chance)

    def died(self) -> int:
        """The number of functions that ended while they had a request, as the engine's log says."""
        return self.log.read_text(encoding="utf-8", errors="replace").count(DIED)

    def dead_letters(self) -> int:
        """The number of messages that were given up."""
        url = self.names["RequestDeadLetterQueueUrl"]
        attribute = "ApproximateNumberOfMessages"
        return int(self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[attribute])["Attributes"][attribute])


def message(application: str, model: str, number: int, group: str | None, directives: str, wait: bool) -> Item:
    """A message of the queue. `directives` are for the simulator."""
    document = {
        "model": model,
        "prompt": {
            "messages": [
                {
                    "role": "user",
                    "content": f"Message {number} of the campaign. [[sim output-tokens={TOKENS} {directives}]]",
                }
            ],
            "parameters": {"max_tokens": TOKENS},
        },
        "tags": {"applicationId": application, "costCenter": group or "none"},
    }
    body: Item = {"MessageBody": json.dumps(document)}
    if group:
        body["MessageGroupId"] = group
    if wait:
        body["MessageAttributes"] = {"WhenExceeded": {"DataType": "String", "StringValue": "wait"}}
    return body


def throttled(number: int) -> str:
    """The directive for the faults of a message."""
    if number % ALL_THROTTLED == 3:
        return f"fault=throttling times={FAULTS}"
    if number % ONCE_THROTTLED == 13:
        return "fault=throttling times=1"
    return ""


def ended(items: Iterable[Item]) -> int:
    """The number of requests whose answer was delivered."""
    return sum("toldAt" in item for item in items)


class Campaign:
    """Many messages at once, with faults."""

    def __init__(self, queue: Queue, messages: int, affordable: int, kills: int) -> None:
        self.queue, self.number, self.affordable, self.kills = queue, messages, affordable, kills
        self.application, self.model = "queue-campaign", "us.anthropic.claude-haiku-4-5-20251001-v1:0"
        self.scope = f"application#{self.application}"
        self.killed = 0
        self._loaded = threading.Event()

    def run(self) -> None:
        """Sends the messages, moves the clock to the reset, and checks.

        # Raises
        CampaignFailed, if a promise did not hold.
        """
        self.queue.limit(self.scope, {"output": self.affordable * TOKENS}, "hour")
        begun, opened = time.monotonic(), self.queue.clock.now()
        self.sent = [self._message(number) for number in range(self.number)]
        self.ids = self.queue.send(self.sent)
        print(f"{self.number} messages were sent in {time.monotonic() - begun:.1f} s", flush=True)
        with ThreadPoolExecutor(1) as pool:
            killing = pool.submit(self._kill)
            try:
                self._wait(
                    lambda items: all(self._rests(item) for item in items.values()), "until the budget is used up"
                )
            finally:
                self._loaded.set()
            killing.result()
        first, items = time.monotonic() - begun, self.queue.items(self.application)
        before = Counter(self._end(item) for item in items.values())
        print(f"the first hour took {first:.0f} s of the machine's time: {dict(before)}", flush=True)
        asked = Waiting(self.queue)
        self.queue.clock.move_to(
            (opened + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0) + timedelta(seconds=JITTER_SECONDS)
        )
        self._wait(lambda items: ended(items.values()) == self.number, "after the reset")
        print(f"all answers were there after {time.monotonic() - begun:.0f} s", flush=True)
        self._check(before, asked.ends())

    def _message(self, number: int) -> Item:
        wait = number % ANSWERED_WHEN_EXCEEDED != 0
        return message(self.application, self.model, number, "campaign", throttled(number), wait)

    @staticmethod
    def _rests(item: Item) -> bool:
        """`True` if a request has its answer, or waits for the reset."""
        return "toldAt" in item or (item["state"] == "waiting" and item.get("code") == "BudgetExceeded")

    @staticmethod
    def _end(item: Item) -> str:
        return str(item.get("code", "Succeeded")) if item["state"] == "done" else f"waits for {item.get('code')}"

    def _kill(self) -> None:
        """Kills a function each time that a part of the budget was used. Kills another one for each that had no request."""
        chance = random.Random(24)
        while self.killed < self.kills and not self._loaded.wait(0.2):
            due = self.queue.calls(self.model) * self.kills * 10 // (self.affordable * 9)
            if self.killed < due and self.queue.kill(chance):
                self.killed = self.queue.died()

    def _wait(self, done: Any, when: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            items = self.queue.items(self.application)
            if len(items) == self.number and done(items):
                return
            if time.monotonic() > deadline:
                raise CampaignFailed(f"{when}: {len(items)} requests, {Counter(map(self._end, items.values()))}")
            time.sleep(POLL_SECONDS)

    def _check(self, before: Counter[str], served: bool) -> None:
        items, settled = self.queue.items(self.application), self.queue.settled(self.scope)
        codes = Counter(self._end(item) for item in items.values())
        calls, windows = self.queue.calls(self.model), sorted(settled)
        refused = calls - codes["Succeeded"]
        print(f"answers: {dict(codes)}; dead letters: {self.queue.dead_letters()}")
        print(f"calls of the model: {calls}, throttled {refused} ({refused / calls:.1%})")
        again = sum(int(item.get("interrupted", 0)) for item in items.values())
        print(
            f"functions that were killed with a request: {self.queue.died()}; {again} of these requests had begun, and had no answer "
            "when their message came again"
        )
        print(f"settled tokens by hour: {settled}, limit {self.affordable * TOKENS} an hour")
        answers = range(0, self.number, ANSWERED_WHEN_EXCEEDED)
        mine = {self.ids[number] for number in answers}
        promises = {
            "every message has one answer": set(items) == set(self.ids) and ended(items.values()) == self.number,
            "no answer but these": set(codes) <= {"Succeeded", "BudgetExceeded"},
            "only a message that takes it was denied": all(
                self._end(item) == "Succeeded" or request in mine for request, item in items.items()
            ),
            "the budget of the first hour was used up": settled[windows[0]] == self.affordable * TOKENS
            and before["Succeeded"] == self.affordable,
            "waiting requests were served after the reset": settled[windows[-1]]
            == (codes["Succeeded"] - self.affordable) * TOKENS
            and codes["Succeeded"] == self.number - codes["BudgetExceeded"],
            "nothing was paid twice": sum(settled.values()) == codes["Succeeded"] * TOKENS
            and refused == self._faults(items),
            "functions with a request were killed": self.queue.died() >= self.kills,
            "the command that waits for the reset has its answer": served,
            "no dead letter": self.queue.dead_letters() == 0,
        }
        judge(promises)

    def _faults(self, items: dict[str, Item]) -> int:
        """The faults that the simulator made: those of all messages that were served."""
        served = [number for number, request in enumerate(self.ids) if self._end(items[request]) == "Succeeded"]
        told = [throttled(number) for number in served]
        return sum(int(each.rsplit("=", 1)[1]) for each in told if each)


class Waiting:
    """The command `sentry ask --async --wait-for-reset`, for a budget that is used up.

    # Raises
    CampaignFailed, if it does not wait.
    """

    def __init__(self, queue: Queue) -> None:
        queue.limit("application#queue-command", {"requests": 1}, "hour")
        words = ["--model", "nova-lite", "--application", "queue-command", "--max-tokens", str(TOKENS), "Hello"]
        first = subprocess.run([*queue.sentry, *words], capture_output=True, text=True, timeout=120, check=False)
        if first.returncode != 0:
            raise CampaignFailed(f"the command has no answer: {first.stderr}")
        line = [*queue.sentry, "--wait-for-reset", *words]
        self._process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._begun = queue.clock.now()
        time.sleep(HEAD_START_SECONDS)
        if self._process.poll() is not None:
            raise CampaignFailed("the command does not wait for the reset")

    def ends(self) -> bool:
        """Waits for the end of the command. Returns `True` if it has an answer of the next hour."""
        output, _ = self._process.communicate(timeout=PATIENCE_SECONDS)
        answer = json.loads(output)
        return bool(
            answer["outcome"] == "Succeeded" and answer["tags"]["timestamp"][:13] > self._begun.isoformat()[:13]
        )


def judge(promises: dict[str, bool]) -> None:
    """Prints each promise.

    # Raises
    CampaignFailed, if one did not hold.
    """
    for promise, holds in promises.items():
        print(f"  {'yes' if holds else 'NO '} {promise}")
    sys.stdout.flush()
    if not all(promises.values()):
        raise CampaignFailed("a promise did not hold")


def waits(queue: Queue, team: str, group: str | None, model: str) -> list[float]:
    """Sends the messages of the small team. Returns the seconds after which each answer was there."""
    application = f"queue-{team}"
    begun = time.monotonic()
    messages = [message(application, model, number, group, f"latency-ms={MODEL_MS}", False) for number in range(SMALL)]
    open_ids, found = set(queue.send(messages)), []
    while open_ids:
        for request in list(open_ids):
            key = {"applicationId": {"S": application}, "requestId": {"S": request}}
            got = queue.dynamodb.get_item(TableName=queue.names["AnswersTableName"], Key=key, ConsistentRead=True)
            if "toldAt" in got.get("Item", {}):
                open_ids.remove(request)
                found.append(time.monotonic() - begun)
        if time.monotonic() - begun > PATIENCE_SECONDS:
            raise CampaignFailed("the messages of the small team are not answered")
        time.sleep(0.05)
    return found


def rounds(queue: Queue, number: int, group: str | None, model: str) -> list[float]:
    """The waits of several rounds."""
    return [each for turn in range(number) for each in waits(queue, f"small-{turn}", group, model)]


def described(seconds: list[float]) -> str:
    """A row of the table."""
    return f"{statistics.median(seconds):.2f} | {percentile(seconds, 0.95):.2f} | {max(seconds):.2f}"


def fairness(queue: Queue, large: int) -> None:
    """Measures the small team alone, and beside the large one.

    # Raises
    CampaignFailed, if it waits more than ten times as long.
    """
    model = "us.amazon.nova-lite-v1:0"
    alone = rounds(queue, ROUNDS, "small", model)
    beside = {}
    for title, groups in {"with MessageGroupId": ("small", "large"), "without": (None, None)}.items():
        number = large if groups[0] else large // 4
        busy = [
            message("queue-large", model, each, groups[1], f"latency-ms={MODEL_MS}", False) for each in range(number)
        ]
        queue.send(busy)
        time.sleep(HEAD_START_SECONDS)
        turns = ROUNDS if groups[0] else 1
        beside[f"beside {number}, {title}"] = rounds(queue, turns, groups[0], model)
        left = queue.sqs.get_queue_attributes(QueueUrl=queue.url, AttributeNames=["ApproximateNumberOfMessages"])
        print(f"{left['Attributes']['ApproximateNumberOfMessages']} messages of the large team were left", flush=True)
        queue.sqs.purge_queue(QueueUrl=queue.url)
        time.sleep(HEAD_START_SECONDS)
    print("\n| ten messages | median s | 95 % s | longest s |\n|---|---:|---:|---:|")
    print(f"| alone | {described(alone)} |")
    for title, seconds in beside.items():
        print(f"| {title} | {described(seconds)} |")
    fair = beside[f"beside {large}, with MessageGroupId"]
    ratio = max(statistics.median(fair) / statistics.median(alone), max(fair) / max(alone))
    print(f"\nthe small team waits at most {ratio:.1f} times as long as alone")
    judge({f"at most {FAIR_RATIO} times as long": ratio <= FAIR_RATIO})


def options_from(arguments: list[str]) -> argparse.Namespace:
    """Parses the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--stack-name", required=True)
    parser.add_argument("--bedrock-endpoint", required=True)
    parser.add_argument("--engine-pid", required=True, type=int)
    parser.add_argument("--engine-log", required=True, type=Path)
    parser.add_argument("--sentry", required=True, help="the program `sentry`")
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--affordable", type=int, default=3_000)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--large", type=int, default=4_000, help="messages of the large team")
    return parser.parse_args(arguments)


def main() -> int:
    """Runs both parts. Returns 1 if a promise did not hold."""
    options = options_from(sys.argv[1:])
    cloudformation = client("cloudformation", options.endpoint)
    names = outputs(cloudformation, options.stack_name)
    function = functions_of(cloudformation, options.stack_name)["ServeQueueFunction"]
    command = [options.sentry, "--stack-name", options.stack_name, "--output", "json", "ask", "--async"]
    queue = Queue(
        endpoint=options.endpoint,
        bedrock=options.bedrock_endpoint,
        engine=options.engine_pid,
        names=names,
        function=function,
        clock=MovableClock.of_environment(),
        log=options.engine_log,
        sentry=command,
    )
    queue.limit("default", {"input": 10**12, "output": 10**12}, "month")
    queue.sqs.set_queue_attributes(QueueUrl=queue.url, Attributes={"VisibilityTimeout": str(REDELIVERY_SECONDS)})
    try:
        Campaign(queue, options.messages, options.affordable, options.kills).run()
        fairness(queue, options.large)
    except CampaignFailed as error:
        print(f"failed: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
