"""The tree of errors: a sentence for the person, and the next command to try.

    FormosaError
    ├── UserError             the person at the keyboard can put it right; exit code 1, no traceback
    │   ├── RecipeError       a recipe does not fit its schema
    │   ├── ModelError        a model cannot be found, fetched or trusted
    │   ├── DataError         a row or a file cannot be read as what it should be
    │   ├── MessageError      a value is not a message, tool or tool call; carries a field path
    │   ├── ParityError       the exported file does not say what the checkpoint says
    │   ├── LogError          an evaluation log is damaged, or being written
    │   │   └── OtherRunError it is whole, but of another task, model, plan or request
    │   ├── CardError         a model card cannot be written or read
    │   ├── ContextError      the prompt and the reply do not fit into the model's context
    │   └── UnsupportedError  an engine can't honour a parameter of the request
    └── EngineError           the model process failed, or a remote server did
        └── BusyError         everything is taken and the queue is full; says when to come again

Real bugs are none of these and keep their traceback.
"""

from __future__ import annotations


class FormosaError(Exception):
    """Base of all errors that Formosa raises on purpose."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UserError(FormosaError):
    """Something the person at the keyboard can put right."""


class RecipeError(UserError):
    """A recipe does not fit its schema."""


class ModelError(UserError):
    """A model cannot be found, fetched or trusted."""


class DataError(UserError):
    """A row or a file of data cannot be read as what it should be."""


class MessageError(UserError):
    """A value is not a message; `path` says where, as in `messages[2].tool_calls[0].id`."""

    def __init__(self, path: str, problem: str, hint: str = "") -> None:
        super().__init__(f"{path}: {problem}" if path else problem, hint)
        self.path = path
        self.problem = problem


class ParityError(UserError):
    """The exported model does not say what its checkpoint says."""


class LogError(UserError):
    """An evaluation log is damaged, being written, or of another run."""


class OtherRunError(LogError):
    """A log is whole, but of another task, model, plan or request."""


class CardError(UserError):
    """A model card cannot be written or read."""


class ContextError(UserError):
    """The prompt and the reply do not fit into the context; both lengths in tokens."""

    def __init__(self, prompt_tokens: int, reply_tokens: int, context: int) -> None:
        super().__init__(
            f"The prompt has {prompt_tokens} tokens and {reply_tokens} more were asked for, "
            f"but the context holds {context}.",
            "shorten the conversation, lower max_tokens, or serve with a larger --context",
        )
        self.prompt_tokens = prompt_tokens
        self.reply_tokens = reply_tokens
        self.context = context


class UnsupportedError(UserError):
    """An engine can't honour a parameter of the request; `parameter` is its OpenAI name."""

    def __init__(self, parameter: str, problem: str, hint: str = "") -> None:
        super().__init__(f"{parameter}: {problem}", hint)
        self.parameter = parameter


class EngineError(FormosaError):
    """The model process failed, or a remote server did."""


class BusyError(EngineError):
    """Everything is taken and the queue is full; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message, f"try again in {retry_after} seconds")
        self.retry_after = retry_after
