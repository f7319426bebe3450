"""A client of the control API, for drills and tests."""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

_Found = TypeVar("_Found")


class ControlRefused(Exception):
    """The stand-in would not do that: ``error`` is its name for the reason."""

    def __init__(self, error: str, detail: str = "") -> None:
        super().__init__(f"{error} {detail}".strip())
        self.error = error


class SlackControl:
    """The hands and eyes of the drill in the stand-in.

    Args:
        url: the stand-in's address, such as ``http://127.0.0.1:40123``.
    """

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=40, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def do(self, verb: str, **body: Any) -> dict[str, Any]:
        """One verb of the control API; its answer.

        Raises:
            ControlRefused: it cannot be done, such as pressing a button that is gone.
        """
        response = await self._http.post(f"/control/{verb}", json=body)
        answer: dict[str, Any] = response.json()
        if response.status_code != 200:
            raise ControlRefused(answer["error"], answer.get("detail", ""))
        return answer

    async def press(self, user: str, message_ts: str, button: str) -> dict[str, Any]:
        """Press a button (action id or label). ``ok`` says whether the app acknowledged."""
        return await self.do("press", user=user, message_ts=message_ts, button=button)

    async def submit(
        self, user: str, view_id: str, values: dict[str, dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Submit a modal. ``ok`` says whether the app took it."""
        return await self.do("submit", user=user, view_id=view_id, values=values or {})

    async def state(self, after: int = -1, wait_s: float = 0) -> dict[str, Any]:
        """Everything there is; with ``wait_s``, as soon as it is newer than ``after``."""
        query = {"after": str(after), "wait": str(wait_s)}
        state: dict[str, Any] = (await self._http.get("/control/state", params=query)).json()
        return state

    async def until(
        self, found: Callable[[dict[str, Any]], _Found | None], timeout_s: float = 10
    ) -> _Found:
        """Wait until ``found`` of the state is something, and return that.

        Raises:
            TimeoutError: it was nothing for ``timeout_s`` seconds.
        """
        async with asyncio.timeout(timeout_s):
            state = await self.state()
            while not (result := found(state)):
                state = await self.state(after=state["version"], wait_s=20)
            return result
