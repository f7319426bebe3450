"""How a Web API method says no, and how it reads its arguments."""

import json
from typing import Any


class SlackError(Exception):
    """The answer ``{"ok": false, "error": code}``.

    Args:
        code: Slack's name of the error, such as ``channel_not_found``.
        messages: the particulars of a schema error.
        extra: more members of the answer.
    """

    def __init__(self, code: str, messages: list[str] | None = None, **extra: Any) -> None:
        super().__init__(code)
        self.code = code
        self.messages = messages or []
        self.extra = extra

    def answer(self) -> dict[str, Any]:
        """The body of the answer."""
        body: dict[str, Any] = {"ok": False, "error": self.code, **self.extra}
        if self.messages:
            body["errors"] = self.messages
            body["response_metadata"] = {"messages": [f"[ERROR] {text}" for text in self.messages]}
        return body


class RateLimited(Exception):
    """The answer 429 with ``Retry-After`` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"ratelimited for {retry_after} s")
        self.retry_after = retry_after


class Arguments:
    """The arguments of one call: from the query, a form, or a JSON body.

    Slack takes structures as JSON text where the call is not JSON itself.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def text(self, name: str) -> str | None:
        """A string, or None when it is missing or empty."""
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
        raise SlackError("invalid_arguments", [f"must be a string [json-pointer:/{name}]"])

    def needed(self, name: str, error: str = "invalid_arguments") -> str:
        """A string that must be there, else the error that Slack has for its absence."""
        value = self.text(name)
        if value is None:
            messages = [f"missing required field: {name} [json-pointer:]"]
            raise SlackError(error, messages if error == "invalid_arguments" else None)
        return value

    def structure(self, name: str, error: str) -> Any:
        """A JSON value, or None; ``error`` is what Slack says when it is not JSON."""
        value = self.values.get(name)
        if isinstance(value, str):
            if not value:
                return None
            try:
                return json.loads(value)
            except ValueError:
                raise SlackError(error) from None
        return value

    def flag(self, name: str) -> bool:
        """A boolean in any of the ways that Slack takes."""
        return self.values.get(name) in (True, "true", "True", "1", 1)
