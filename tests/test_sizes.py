"""Large requests: each is served, or refused with a path before anything is held or paid for."""

import json
import random

import pytest

from contract import check_error, check_succeeded
from sentry_client import text

pytestmark = pytest.mark.local

MOST = 262_144
STEP = 4_096
# A prompt that asks for a large answer. The answer needs space in addition to the request.
LARGE = text(output_bytes=100_000, output_tokens=25_000)
SENTENCE = (
    "the budget of a model is held before its call and settled after the answer has come in with all that it used"
)
WORDS = SENTENCE.split()


def english(size, chance):
    return " ".join(chance.choice(WORDS) for _ in range(size // 4))[:size]


def quotes(size, _):
    return '"\n' * (size // 4)


def japanese(size, chance):
    """Japanese characters. JSON escapes take six bytes for each."""
    return "".join(chr(chance.randint(0x3041, 0x3096)) for _ in range(size // 6))


def random_text(size, chance):
    """Random characters like the base64 of an image. They cannot be compressed much."""
    return "".join(chance.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", k=size))


KINDS = {"english": english, "quotes and line ends": quotes, "japanese": japanese, "random": random_text}


def sized(kind, size, model, content=None):
    """Returns a document of `size` bytes as JSON, filled with text of a kind."""

    def written(filling):
        blocks = [{"text": LARGE if content is None else content}, {"text": filling or "x"}]
        return json.dumps(
            {
                "model": model,
                "prompt": {"messages": [{"role": "user", "content": blocks}], "parameters": {"max_tokens": 30_000}},
                "tags": {"applicationId": "e2e-sizes"},
            }
        )

    room = size - len(written(""))
    document = written(KINDS[kind](room, random.Random(size)))
    assert len(document) <= size
    return document


def check(sentry, bare, document, answer):
    """Checks that a request was served, or refused with the path `$`. Returns `True` if it was served."""
    if answer["outcome"] == "Succeeded":
        check_succeeded(answer)
        return True
    assert answer["error"]["code"] == "InvalidRequest", (len(document), answer["error"])
    assert answer["error"]["details"]["path"] == "$", answer["error"]
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_every_size_is_served_or_refused_before_anything_is_held(sentry, kind):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"input": 10**9, "output": 10**9})
    documents = {size: sized(kind, size, arn, text(output_tokens=3)) for size in range(STEP, MOST + 1, STEP)}
    served = [
        size
        for size, ended in sentry.execute_all(documents).items()
        if check(sentry, bare, documents[size], ended["output"])
    ]
    assert sentry.calls(bare) == len(served), "a request that was refused reached the model"
    (item,) = sentry.ledger_items(f"model#{bare}")
    assert not [name for name in item if name.startswith("h#")]
    # Text that can be compressed is served at every size. Base64 is served up to the room that the other values leave.
    least = MOST if kind != "random" else 244_000
    assert served == [size for size in documents if size <= max(served)] and max(served) >= least // STEP * STEP


LARGE_DOCUMENTS = {
    "250,000 bytes of English": lambda model: sized("english", 250_000, model),
    "42,000 Japanese characters as escapes": lambda model: sized("japanese", 6 * 42_000 + 600, model),
    "200 KB of quotes and line ends": lambda model: sized("quotes and line ends", 200_000, model),
}


@pytest.mark.parametrize("name", LARGE_DOCUMENTS)
def test_large_request_gets_a_large_answer(sentry, name):
    arn, bare = sentry.profile_arn()
    sentry.set_limit(bare, {"input": 10**9, "output": 10**9})
    answer = check_succeeded(sentry.ask(LARGE_DOCUMENTS[name](arn)))
    said = answer["output"]["message"]["content"]
    assert sum(len(block["text"].encode()) for block in said) >= 100_000


def test_large_picture_is_served_or_refused_with_its_path(sentry):
    """188 KB of a file are 251 KB of base64. A request with an image to this model may hold its whole context window."""
    picture = random_text(188 * 1024 * 4 // 3 // 4 * 4, random.Random(1))
    image = {"image": {"format": "png", "source": {"bytes": picture}}}
    sent = {
        "model": "us.amazon.nova-pro-v1:0",
        "prompt": {"messages": [{"role": "user", "content": [image, {"text": LARGE}]}]},
        "tags": {"applicationId": "e2e-sizes"},
    }
    before = sentry.calls()
    answer = sentry.ask(json.dumps(sent))
    if answer["outcome"] != "Succeeded":
        check_error(answer, "InvalidRequest")
        assert answer["error"]["details"]["path"] == "$" and sentry.calls() == before
