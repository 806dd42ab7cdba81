"""Writes the ids.json of the Bedrock simulator: model ids, their maximum input and output tokens, and their last dates.

    python3 local/bedrock_ids.py bedrock-models.json > crates/bedrock-sim/data/ids.json

The input has an object `models`, which maps ids to facts collected from LiteLLM's model map. It lacks models that ended long ago and
some profiles. ENDED and MORE add them. The comments name the source of each entry.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

PROFILE = re.compile(r"(global|us|eu|apac|au|jp|in|us-gov)\.(.+)")
ID = re.compile(r"[a-z0-9-]+\.[a-z0-9.:-]+")
# End-of-life dates that the input lacks. Origin: Bedrock user guide, "Model lifecycle", as quoted in the sources below.
ENDED = {
    # https://github.com/BerriAI/litellm/pull/28704
    "anthropic.claude-3-5-haiku-20241022-v1:0": "2026-06-19",
    # https://github.com/awslabs/startups/pull/304 (read 2026-11-26)
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "2026-07-30",
    "anthropic.claude-3-haiku-20240307-v1:0": "2026-09-10",
    "anthropic.claude-sonnet-4-20250514-v1:0": "2026-10-14",
    "cohere.command-r-v1:0": "2026-08-19",
    "cohere.command-r-plus-v1:0": "2026-08-19",
    # https://github.com/awslabs/startups/pull/10 (read 2026-11-26)
    "anthropic.claude-3-7-sonnet-20250219-v1:0": "2026-04-28",
    "anthropic.claude-opus-4-20250514-v1:0": "2026-05-31",
    # https://github.com/epam/ai-dial-adapter-bedrock/pull/310
    "anthropic.claude-v2": "2025-07-21",
    "anthropic.claude-v2:0": "2025-07-21",
    "anthropic.claude-v2:1": "2025-07-21",
    # These models are older than the three above. They ended before this day.
    "anthropic.claude-v1": "2025-07-21",
    "anthropic.claude-instant-v1": "2025-07-21",
    "ai21.j2-mid-v1": "2025-07-21",
    "ai21.j2-ultra-v1": "2025-07-21",
    "meta.llama2-13b-chat-v1": "2025-07-21",
    "meta.llama2-70b-chat-v1": "2025-07-21",
    # https://github.com/epam/ai-dial-adapter-bedrock/pull/378 (ended before this day)
    "amazon.titan-text-express-v1": "2026-01-01",
    "amazon.titan-text-lite-v1": "2026-01-01",
    "amazon.titan-text-premier-v1:0": "2026-01-01",
}
# Profiles that the input lacks. Source: Bedrock user guide, "Supported Regions and models for inference profiles".
MORE = {"amazon.nova-premier-v1:0": ["us"]}


def main() -> None:
    models = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["models"]
    ids: dict[str, dict[str, Any]] = {}
    # If the profiles of a model disagree on the date, the model has no end date.
    ends: dict[str, set[str | None]] = {}
    for name, facts in models.items():
        if "/" in name or "@" in name or not ID.fullmatch(name):
            continue
        matched = PROFILE.fullmatch(name)
        profile, base = matched.groups() if matched else ("", name)
        entry = ids.setdefault(base, {"profiles": list(MORE.get(base, []))})
        if profile and profile not in entry["profiles"]:
            entry["profiles"].append(profile)
        for key, ours in (("contextWindow", "context"), ("outputLimit", "output")):
            if facts.get(key):
                entry[ours] = max(entry.get(ours, 0), facts[key])
        ends.setdefault(base, set()).add(facts.get("deprecated"))
    agreed = {base: days.pop() for base, days in ends.items() if len(days) == 1}
    for base, day in (agreed | ENDED).items():
        if day:
            ids.setdefault(base, {"profiles": []})["ends"] = day
    print("{")
    lines = [f"  {json.dumps(base)}: {json.dumps(ids[base])}" for base in sorted(ids)]
    print(",\n".join(lines))
    print("}")


if __name__ == "__main__":
    main()
