"""What `/metrics` tells Prometheus: requests, tokens, times, and what went wrong.

One registry for each app, so that two apps in a process do not count each other's work. Nothing
is counted per token: a reply adds its numbers when it ends.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from formosa.chat.reply import Defect
from formosa.engines.protocol import Usage
from formosa.serve.queue import Queue

CONTENT_TYPE = CONTENT_TYPE_LATEST
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
CLIENT_LEFT = 499  # the status of a request whose client went away, as proxies write it


class Metrics:
    """The numbers of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"formosa_{name}", words, labels, registry=self.registry)

        def histogram(name: str, words: str) -> Histogram:
            return Histogram(
                f"formosa_{name}", words, ["model"], registry=self.registry, buckets=SECONDS
            )

        def gauge(name: str, words: str) -> Gauge:
            return Gauge(f"formosa_{name}", words, ["model"], registry=self.registry)

        self.requests = counter("requests", "Answered requests.", "route", "status")
        self.prompt = counter("prompt_tokens", "Tokens of prompts.", "model")
        self.cached = counter("cached_tokens", "Prompt tokens from the prompt cache.", "model")
        self.completion = counter("completion_tokens", "Tokens that were generated.", "model")
        self.malformed = counter(
            "malformed_calls", "Tool calls that could not be read and came back as text.", "model"
        )
        self.cancelled_replies = counter("cancelled", "Replies whose client went away.", "model")
        self.first = histogram(
            "time_to_first_token_seconds", "From the request to the first event of its reply."
        )
        self.whole = histogram("reply_seconds", "From the request to the end of its reply.")
        self.running = gauge("running", "Replies that are being written.")
        self.waiting = gauge("waiting", "Replies that wait for a place.")

    def watch(self, model: str, queue: Queue) -> ModelMetrics:
        """The numbers of one model; the queue is asked when somebody looks."""
        self.running.labels(model).set_function(lambda: queue.running)
        self.waiting.labels(model).set_function(lambda: queue.waiting)
        return ModelMetrics(self, model)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class ModelMetrics:
    """The numbers of one model."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self.first = metrics.first.labels(model)
        self.whole = metrics.whole.labels(model)
        self.prompt = metrics.prompt.labels(model)
        self.cached = metrics.cached.labels(model)
        self.completion = metrics.completion.labels(model)
        self.malformed = metrics.malformed.labels(model)
        self.cancelled_replies = metrics.cancelled_replies.labels(model)

    def began(self, seconds: float) -> None:
        self.first.observe(seconds)

    def ended(self, seconds: float, usage: Usage | None, defects: tuple[Defect, ...] = ()) -> None:
        self.whole.observe(seconds)
        if usage is not None:
            self.prompt.inc(usage.prompt)
            self.cached.inc(usage.cached)
            self.completion.inc(usage.completion)
        self.malformed.inc(len(defects))

    def cancelled(self) -> None:
        self.cancelled_replies.inc()


class CountRequests:
    """Counts every answer by route and status. Unknown paths share one label."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            path = scope["path"]
            route = path if path in self._routes else "other"
            if path.startswith("/v1/models/"):
                route = "/v1/models"
            self._metrics.requests.labels(route, str(status or 500)).inc()
