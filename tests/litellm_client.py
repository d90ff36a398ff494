"""LiteLLM asks a server; run by the interpreter of LiteLLM's own environment, see the Makefile.

    python tests/litellm_client.py URL < request.json

Prints what it understood, as JSON: the message of a whole reply, the one it builds from a stream,
and the class of the error for a request that is wrong.
"""

import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it would ask the network when imported

import litellm  # type: ignore[import-not-found]  # lives elsewhere


def plain(message: Any) -> dict[str, Any]:
    return {
        "content": message.content,
        "reasoning": message.reasoning_content,
        "calls": [[call.function.name, call.function.arguments] for call in message.tool_calls],
    }


request = {**json.load(sys.stdin), "api_base": sys.argv[1], "api_key": "-", "num_retries": 0}
whole = litellm.completion(**request).choices[0].message
chunks = list(litellm.completion(**request, stream=True))
built = litellm.stream_chunk_builder(chunks).choices[0].message
try:
    litellm.completion(**request, top_p=7)
    refusal = None
except Exception as error:
    refusal = type(error).__name__
print(json.dumps({"whole": plain(whole), "streamed": plain(built), "refusal": refusal}))
