"""The service's HTTP surface: the public routes, ``/metrics``, and the admin API behind a token."""

import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from runbookd.drill.checkout.service import VERSION, Checkout, Failed

_MAX_BODY = 10_000
_Handler = Callable[[Request], Awaitable[Response]]


def application(service: Checkout, admin_token: str) -> Starlette:
    """The ASGI application of one service. ``admin_token`` opens ``/admin``."""
    return Starlette(
        routes=[
            *_public_routes(service),
            *(
                Route(path, _guarded(handler, admin_token), methods=[method])
                for method, path, handler in _admin_routes(service)
            ),
        ],
        exception_handlers={Failed: _failed},
    )


def _public_routes(service: Checkout) -> list[Route]:
    async def healthz(request: Request) -> Response:
        if not service.ready:
            raise Failed(503, "the service is starting")
        return JSONResponse({"status": "ok"})

    async def version(request: Request) -> Response:
        return JSONResponse({"service": "checkout", "version": VERSION})

    async def metrics(request: Request) -> Response:
        text = "\n".join(service.metrics_lines()) + "\n"
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    async def place(request: Request) -> Response:
        body = await _json_object(request, {"item", "coupon"})
        item, coupon = body.get("item"), body.get("coupon")
        if not isinstance(item, str) or not isinstance(coupon, str | None):
            raise Failed(400, 'an order is {"item": text, "coupon": text or null}')
        return JSONResponse(asdict(await service.place_order(item, coupon)), status_code=201)

    async def read(request: Request) -> Response:
        return JSONResponse(asdict(await service.read_order(request.path_params["order_id"])))

    return [
        Route("/healthz", healthz),
        Route("/version", version),
        Route("/metrics", metrics),
        Route("/orders", place, methods=["POST"]),
        Route("/orders/{order_id}", read),
    ]


def _admin_routes(service: Checkout) -> list[tuple[str, str, _Handler]]:
    async def config(request: Request) -> Response:
        return JSONResponse(
            {
                "pool_max": service.pool.size,
                "reaper": service.reaper,
                "leak_timeout": service.leak_timeout,
                "acquire_timeout": service.tuning.acquire_timeout,
                "database_timeout": service.tuning.database_timeout,
            }
        )

    async def pool(request: Request) -> Response:
        return JSONResponse(pool_report(service))

    async def change_pool(request: Request) -> Response:
        body = await _json_object(request, {"action", "max", "reaper", "leak_timeout"})
        return JSONResponse({**_change_pool(service, body), "pool": pool_report(service)})

    async def restart(request: Request) -> Response:
        service.restart()
        return JSONResponse({"restarting": True}, status_code=202)

    async def log(request: Request) -> Response:
        lines = request.query_params.get("lines", "20")
        if not lines.isdecimal() or not 1 <= int(lines) <= 500:
            raise Failed(400, "lines is a number from 1 to 500")
        return JSONResponse({"lines": service.log.tail(int(lines))})

    return [
        ("GET", "/admin/config", config),
        ("GET", "/admin/pool", pool),
        ("POST", "/admin/pool", change_pool),
        ("POST", "/admin/restart", restart),
        ("GET", "/admin/log", log),
    ]


def pool_report(service: Checkout) -> dict[str, Any]:
    """The pool as ``GET /admin/pool`` shows it. ``leaked`` were held longer than 2 s."""
    suspects = service.pool.held_longer_than(service.tuning.suspect_after)
    return {
        "max": service.pool.size,
        "in_use": service.pool.in_use,
        "idle": service.pool.idle,
        "waiters": service.pool.waiters,
        "leaked": len(suspects),
        "holders": service.pool.holders(),
        "oldest_s": round(service.pool.age_of(suspects[0]), 1) if suspects else 0.0,
        "reaper": service.reaper,
        "leak_timeout": service.leak_timeout,
    }


def _change_pool(service: Checkout, body: dict[str, Any]) -> dict[str, Any]:
    """Carry out one of the three forms of ``POST /admin/pool``, or refuse it whole."""
    match body:
        case {"action": "reap", **rest} if not rest:
            return {"reaped": service.reap()}
        case {"action": "resize", "max": int(size), **rest} if not rest:
            if not _within(size, service.tuning.max_size):
                raise Failed(400, f"max is a number from 1 to {service.tuning.max_size}")
            service.resize(size)
            return {"resized": size}
        case {"reaper": "on" | "off" as reaper, **rest} if rest.keys() <= {"leak_timeout"}:
            seconds = rest.get("leak_timeout", service.leak_timeout)
            if not _within(seconds, service.tuning.max_leak_timeout):
                limit = service.tuning.max_leak_timeout
                raise Failed(400, f"leak_timeout is whole seconds from 1 to {limit}")
            service.set_reaper(reaper == "on", seconds)
            return {"reaper": reaper == "on"}
        case _:
            raise Failed(
                400,
                'say {"action": "reap"}, {"action": "resize", "max": N}'
                ' or {"reaper": "on" or "off", "leak_timeout": S}',
            )


def _within(value: Any, limit: int) -> bool:
    return type(value) is int and 1 <= value <= limit


def _guarded(handler: _Handler, token: str) -> _Handler:
    async def guarded(request: Request) -> Response:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, f"Bearer {token}".encode()):
            return JSONResponse(
                {"error": "the admin API needs its bearer token"},
                status_code=401,
                headers={"WWW-Authenticate": "Bearer"},
            )
        return await handler(request)

    return guarded


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failed)
    return JSONResponse({"error": error.reason}, status_code=error.code)


async def _json_object(request: Request, known: set[str]) -> dict[str, Any]:
    data = await request.body()
    try:
        body = json.loads(data) if len(data) <= _MAX_BODY else None
    except ValueError:
        body = None
    if not isinstance(body, dict) or not body.keys() <= known:
        raise Failed(400, f"the body is a JSON object with {', '.join(sorted(known))}")
    return body
