"""Hundreds of faults in the middle of streams: kills of the gateway, cuts and errors of Bedrock at every event, clients that leave
at every event, and models that take too long.

No limit is passed at any time, the settled usage is that of every stream, and afterwards the rest of every budget can be used. Lanes
run in parallel on one gateway. Each lane is a model and a cost center with tight budgets, and a key of its own.
"""

import http.client
import json
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from botocore.eventstream import EventStreamBuffer

from gateway_process import GatewayProcess, stored_key
from sentry_client import text, unique
from watched_budget import WatchedBudget

pytestmark = pytest.mark.local

# A request holds `HELD` output tokens and uses `USED`, so a hold that expires in full cannot be taken for a settlement.
HELD, USED, CAPACITY = 50, 30, 12
HOLD_SECONDS, MODEL_SECONDS = 8, 2
LANES, CLIENTS = 4, 3
WORDS, PAUSE_MS = 5, 20
# messageStart, a contentBlockDelta for each `WORDS` of `USED`, contentBlockStop, messageStop, metadata.
EVENTS = USED // WORDS + 4
# After the last event, a stream can still break off.
POINTS = {"kill": EVENTS, "cut": EVENTS + 1, "fail": EVENTS + 1, "leave": EVENTS, "stall": EVENTS}
# A stream that a client has left ends within this time, or the time of the model is over.
LEFT_SECONDS = 2.0
# A kill meets every stream that runs, so other faults get time between two kills.
KILL_SECONDS = 3
MOST_SECONDS = 240
POLL_SECONDS = 0.3


@dataclass
class Stream:
    """A stream that has begun or was answered with an error: its fault, the events that its client has read, and its end."""

    fault: str
    read: int = 0
    # `ended`, `broken`, `left`, `lost` (the gateway was killed), or the code of an error.
    end: str = "lost"
    at: float = 0.0

    def charged(self, kills):
        """The least and the most output tokens that this stream is charged with, once its hold has expired."""
        if self.end in {"BudgetExceeded", "BudgetReserved"}:
            return 0, 0
        if self.end == "ended":
            return USED, USED
        if self.end == "left" and not any(self.at - LEFT_SECONDS < kill < self.at + LEFT_SECONDS for kill in kills):
            return USED, USED
        if self.end == "broken" or self.end.startswith("Model"):
            return HELD, HELD
        # The gateway was killed. The model was called if an event has come.
        return USED if self.read else 0, HELD


class Lane(WatchedBudget):
    """One model with its budgets, and the streams of its clients."""

    def __init__(self, sentry, gateway, number):
        arn, self.bare = sentry.profile_arn()
        center = unique("campaign")
        scopes = [f"model#{self.bare}", f"costCenter#{center}"][: 1 + number % 2]
        super().__init__(sentry, scopes, CAPACITY * HELD)
        sentry.set_limit(self.bare, {"output": self.limit, "input": 1_000_000})
        if number % 2:
            sentry.set_limit(scopes[1], {"output": self.limit})
        self._gateway, self._path = gateway, f"/model/{arn}/converse-stream"
        key = stored_key(sentry, costCenter=center, models=[arn])
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.streams: list[Stream] = []
        self.filled, self.full, self.running = 0, False, True

    def stream(self, fault="none", point=0, used=USED):
        """Sends a request whose stream meets a fault after `point` events. Returns the stream."""
        connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=30)
        stream = Stream(fault)
        try:
            connection.request("POST", self._path, json.dumps(request(fault, point, used)), self._headers)
        except ConnectionError:
            # Another lane has killed the gateway, before or while this request was sent. Without its whole body, nothing was
            # decided.
            connection.close()
            time.sleep(0.05)
            return self.stream(fault, point, used)
        try:
            self._read(connection, stream, point)
        except (OSError, http.client.HTTPException):
            stream.end = "lost"
        finally:
            connection.close()
            stream.at = time.monotonic()
        return stream

    def _read(self, connection, stream, point):
        if stream.fault == "kill" and point == 0:
            time.sleep(0.03)
            self._gateway.kill_once()
        answer = connection.getresponse()
        if answer.status != 200:
            answer.read()
            stream.end = answer.headers.get("x-sentry-code", str(answer.status))
            return
        frames, last = EventStreamBuffer(), ""
        while part := answer.read1(65536):
            frames.add_data(part)
            for frame in frames:
                last = frame.headers.get(":exception-type") or frame.headers[":event-type"]
                stream.read += ":event-type" in frame.headers
                if stream.fault == "leave" and stream.read >= max(point, 1):
                    stream.end = "left"
                    return
                if stream.fault == "kill" and stream.read == point:
                    self._gateway.kill_once()
        stream.end = {"metadata": "ended", "modelStreamErrorException": "broken"}.get(last, "lost")

    def client(self, campaign):
        """Sends requests until the budget is full or enough faults have happened."""
        reserved = 0
        while not self.full and campaign.faults() < campaign.wanted:
            stream = self.stream(*campaign.next_fault())
            self.streams.append(stream)
            reserved = reserved + 1 if stream.end == "BudgetReserved" else 0
            if stream.end == "BudgetReserved":
                time.sleep(0.5)
            if stream.end == "BudgetExceeded" or reserved > 2:
                self.full = True

    def fill(self):
        """Uses the rest of the budget, and stores the end of the request that did not fit any more."""
        self.running = True
        while (stream := self.stream(used=HELD)).end == "ended":
            self.filled += HELD
        self.last = stream.end
        self.watch()
        self.running = False

    def charges(self, kills):
        """The least and the most that all streams are charged with."""
        each = [stream.charged(kills) for stream in self.streams]
        return self.filled + sum(least for least, _ in each), self.filled + sum(most for _, most in each)

    def billed(self):
        """The output tokens of the calls that reached the simulator, even if no client received them."""
        return (self._sentry.calls(self.bare) - self.filled // HELD) * USED + self.filled


def request(fault, point, used):
    """The body of a request, with the directives for its fault."""
    told = {"output_tokens": used, "chunk_words": WORDS, "chunk_delay_ms": PAUSE_MS}
    if fault in {"cut", "fail"}:
        told[f"{fault}_after"] = point
    if fault == "stall" and point == 0:
        told["latency_ms"] = 1500 * MODEL_SECONDS
    elif fault == "stall":
        # The time is over between two events.
        told["chunk_delay_ms"] = round(1000 * MODEL_SECONDS / (point - 0.5))
    content = [{"text": text(**told)}]
    return {"messages": [{"role": "user", "content": content}], "inferenceConfig": {"maxTokens": HELD}}


class KillableGateway(GatewayProcess):
    """A gateway that streams kill while they are read. The times of the kills are kept."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.killed: list[float] = []
        self._next, self._turn = 0.0, threading.Lock()

    def kill_once(self):
        """Kills the gateway, unless that has happened a moment ago."""
        with self._turn:
            if time.monotonic() > self._next:
                self.killed.append(self.kill())
                self._next = time.monotonic() + KILL_SECONDS


class Campaign:
    """Runs lanes until enough faults have happened, then uses up the budget of each lane."""

    def __init__(self, sentry, program, log, wanted):
        self.wanted, self.log, self._sentry, self._random = wanted, log, sentry, Random(11)
        self._chosen: Counter[tuple[str, int]] = Counter()
        self._lock, self._over = threading.Lock(), threading.Event()
        self.lanes: list[Lane] = []
        times = ("SENTRY_MODEL_TIMEOUT_SECONDS", "SENTRY_STREAM_SECONDS")
        settings = {"SENTRY_HOLD_SECONDS": HOLD_SECONDS, **dict.fromkeys(times, MODEL_SECONDS)}
        begun = time.monotonic()
        with ExitStack() as stack:
            stack.enter_context(sentry.late_metrics(900))
            named = {name: str(value) for name, value in settings.items()}
            self.gateway = stack.enter_context(KillableGateway(sentry, program, log, **named))
            pool = stack.enter_context(ThreadPoolExecutor(LANES + 1))
            watching = pool.submit(self._watch)
            stack.callback(self._over.set)
            list(pool.map(self._run_lanes, range(LANES)))
            self.fault_seconds = time.monotonic() - begun
            time.sleep(HOLD_SECONDS + 1)
            list(pool.map(Lane.fill, self.lanes))
            self._over.set()
            watching.result()
        self.seconds = time.monotonic() - begun

    def next_fault(self):
        """The fault that has happened least, and was chosen least."""
        with self._lock:
            happened = self.happened()
            of_kind = Counter(kind for kind, _ in happened.elements())
            every = [(fault, point) for fault, points in POINTS.items() for point in range(points)]
            rarest = min(
                every, key=lambda each: (of_kind[each[0]], happened[each], self._chosen[each], self._random.random())
            )
            self._chosen[rarest] += 1
            return rarest

    def _run_lanes(self, first):
        number, deadline = first, time.monotonic() + MOST_SECONDS
        while self.faults() < self.wanted and time.monotonic() < deadline:
            lane = Lane(self._sentry, self.gateway, number)
            self.lanes.append(lane)
            with ThreadPoolExecutor(CLIENTS) as pool:
                clients = [pool.submit(lane.client, self) for _ in range(CLIENTS)]
            for client in clients:
                client.result()
            lane.running = False
            number += LANES

    def _watch(self):
        while not self._over.is_set():
            for lane in [lane for lane in self.lanes if lane.running]:
                lane.watch()
            self._over.wait(POLL_SECONDS)

    def happened(self):
        """The faults that have happened, as kind and number of events before it. A kill meets every stream that runs."""
        kinds = {"broken": lambda s: s.fault, "left": lambda s: "leave", "lost": lambda s: "kill"}
        streams = [stream for lane in self.lanes for stream in lane.streams]
        # Faults before the first event, and after the last one.
        outside = [s for s in streams if s.end.startswith("Model") or (s.end == "ended" and s.fault in {"cut", "fail"})]
        return Counter(
            [(kinds[s.end](s), s.read) for s in streams if s.end in kinds] + [(s.fault, s.read) for s in outside]
        )

    def faults(self):
        return self.happened().total()

    def table(self):
        """Yields the faults by the number of events that their clients had read, and the totals."""
        happened = self.happened()
        yield f"{'fault':<8}" + "".join(f"{point:>5}" for point in range(EVENTS + 1)) + f"{'all':>6}"
        for fault in POINTS:
            counts = [happened[fault, point] for point in range(EVENTS + 1)]
            yield f"{fault:<8}" + "".join(f"{count or '':>5}" for count in counts) + f"{sum(counts):>6}"
        ends = Counter(stream.end for lane in self.lanes for stream in lane.streams)
        least, most = (
            sum(each) for each in zip(*(lane.charges(self.gateway.killed) for lane in self.lanes), strict=True)
        )
        figures = [sum(lane.settled(scope) for lane in self.lanes for scope in lane.scopes[:1])]
        figures += [sum(lane.billed() for lane in self.lanes), len(self.lanes) * CAPACITY * HELD]
        yield f"{self.faults()} faults, {self.gateway.kills} kills in {self.fault_seconds:.0f} s, {self.seconds:.0f} s in all; {len(self.lanes)} lanes; ends: {dict(ends.most_common())}"
        yield f"output tokens: {figures[0]} settled, {figures[1]} billed, {least} to {most} expected, {figures[2]} limit"


@pytest.fixture(scope="module")
def campaign(sentry, request, url):
    option = request.config.getoption
    program = Path(option("--sentry-command")).parent / "fn-gateway"
    log = Path(option("--log-dir")) / "gateway-campaign.log"
    log.unlink(missing_ok=True)
    return Campaign(sentry, program, log, option("--stream-faults"))


def test_faults_of_every_kind_at_every_event(campaign, say, request):
    for line in campaign.table():
        say(line)
    assert campaign.faults() >= request.config.getoption("--stream-faults")
    met = campaign.happened()
    assert {kind for kind, _ in met} == set(POINTS)
    if campaign.wanted >= 300:
        missing = [
            (kind, point) for kind in ("cut", "fail", "leave") for point in range(1, EVENTS) if not met[kind, point]
        ]
        assert not missing


def test_no_limit_was_passed_at_any_moment(campaign):
    assert not [breach for lane in campaign.lanes for breach in lane.breaches]


def test_nothing_that_bedrock_bills_is_lost(campaign):
    for lane in campaign.lanes:
        assert all(lane.settled(scope) >= lane.billed() for scope in lane.scopes)


def test_every_stream_is_charged_once_and_with_its_own_usage(campaign):
    """A stream that came to its end has its usage, a broken one its hold. Only a killed gateway leaves the choice between both."""
    for lane in campaign.lanes:
        least, most = lane.charges(campaign.gateway.killed)
        settled = [lane.settled(scope) for scope in lane.scopes]
        assert all(least <= each <= most for each in settled), (least, settled, most, lane.streams)


def test_the_whole_rest_of_every_budget_can_be_used(campaign):
    for lane in campaign.lanes:
        assert lane.last == "BudgetExceeded", lane.last
        assert lane.watch() == 0
        assert lane.limit - lane.settled(lane.scopes[0]) < HELD or len(lane.scopes) > 1


def test_the_gateway_never_panicked(campaign):
    assert "panicked" not in campaign.log.read_text(encoding="utf-8", errors="replace")
