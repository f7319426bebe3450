"""The daemon's life: take the home, prove the sandbox, take up sessions, serve, and leave."""

import asyncio
import secrets
import socket
import time
from collections.abc import Callable

import structlog

from runbookd.approvals.channel import Channel, DecisionSink
from runbookd.clock import SystemClock
from runbookd.daemon.app import build_app
from runbookd.daemon.server import BACKLOG, bind, serve_app, sole_daemon, stop_on_signals
from runbookd.daemon.service import DaemonService
from runbookd.daemon.sessions import Sessions, World
from runbookd.daemon.tokens import slack_tokens
from runbookd.daemon.vault import Vault
from runbookd.kernels.connectors import ConnectorProxy
from runbookd.kernels.sandbox import cgroup, probe
from runbookd.policy.check import warnings
from runbookd.policy.load import load_policies
from runbookd.policy.model import Policies
from runbookd.record.keys import load_or_create_key
from runbookd.session.engine import Tools
from runbookd.session.lanes import Ground, Switchboard
from runbookd.settings import Settings

_log = structlog.get_logger(__name__)
_IDLE_LOOK_S = 30.0


async def run_daemon(
    settings: Settings, *, on_demand: bool, on_ready: Callable[[], None] = lambda: None
) -> None:
    """Serve the home of ``settings`` until a signal, or until idle when ``on_demand``.

    Raises:
        DaemonUnavailable: another daemon serves it, or the socket cannot be bound.
        PolicyError, SettingsError: the configuration is wrong; nothing was started.
    """
    stop = asyncio.Event()
    with sole_daemon(settings.home), stop_on_signals(stop):
        for warning in warnings(load_policies(settings.policies)):
            _log.warning("policy.warning", said=warning)
        listener = bind(settings.socket, settings.socket_group)
        try:
            await _serve(settings, listener, stop, on_demand, on_ready)
        finally:
            listener.close()
            settings.socket.unlink(missing_ok=True)


async def _serve(
    settings: Settings,
    listener: socket.socket,
    stop: asyncio.Event,
    on_demand: bool,
    on_ready: Callable[[], None],
) -> None:
    clock, vault, switchboard = SystemClock(), Vault(), Switchboard()
    key = load_or_create_key(settings.home)
    # What a daemon that was killed has left goes first.
    if swept := await asyncio.to_thread(cgroup.sweep, cgroup.find_roots()):
        _log.warning("kernels.swept", groups=swept)
    sandbox, report = await asyncio.to_thread(probe)
    _log.info("sandbox.probed", level=report.level, backend=report.backend, why=report.why)

    def policies() -> Policies:
        return load_policies(settings.policies)

    async with (
        ConnectorProxy(switchboard.record, switchboard.allow, vault.resolve) as proxy,
        asyncio.TaskGroup() as tasks,
    ):
        service: DaemonService
        channels = await _channels(settings, vault, lambda decided: service.slack_decision(decided))
        world = World(
            host=socket.gethostname() or "localhost",
            key=key,
            clock=clock,
            report=report,
            ground=Ground(
                sandbox=sandbox,
                proxy=proxy,
                switchboard=switchboard,
                hidden=(settings.home, settings.socket.parent),
                resolve=vault.resolve,
            ),
            tools=Tools(
                clock=clock,
                policies=policies,
                channels=channels,
                token=lambda: secrets.token_hex(16),
            ),
            redactor=vault.redactor,
        )
        sessions = Sessions(settings.sessions, world)
        service = DaemonService(
            settings=settings,
            clock=clock,
            report=report,
            policies=policies,
            sessions=sessions,
            channels=channels,
        )
        ready = asyncio.Event()
        running = [tasks.create_task(channel.run()) for channel in channels]
        serving = tasks.create_task(sessions.serve(ready, stop))
        await ready.wait()
        if on_demand:
            running.append(tasks.create_task(_leave_when_idle(settings, sessions, service, stop)))
        # Only now: who can connect finds a daemon that can answer.
        listener.listen(BACKLOG)
        answering = tasks.create_task(serve_app(build_app(service), listener, stop))
        on_ready()
        _log.info("daemon.ready", socket=str(settings.socket), sessions=len(sessions.served))
        await stop.wait()
        await serving
        await answering
        for task in running:
            task.cancel()
    _log.info("daemon.ended")


async def _channels(settings: Settings, vault: Vault, sink: DecisionSink) -> tuple[Channel, ...]:
    """The approval channels that are configured. The console needs none: it is the API."""
    tokens = await slack_tokens(settings.slack, vault)
    if tokens is None:
        return ()
    # Imported where it is needed: a daemon without Slack starts 0.2 s sooner.
    from runbookd.approvals.slack.channel import SlackChannel

    bot_token, app_token = tokens
    return (
        SlackChannel(
            base_url=settings.slack.base_url,
            bot_token=bot_token,
            app_token=app_token,
            channel=settings.slack.channel,
            sink=sink,
            clock=SystemClock(),
        ),
    )


async def _leave_when_idle(
    settings: Settings, sessions: Sessions, service: DaemonService, stop: asyncio.Event
) -> None:
    """Stop a daemon that was started on demand once nobody has needed it for long."""
    while True:
        await asyncio.sleep(min(_IDLE_LOOK_S, settings.idle_exit_s))
        idle = time.monotonic() - service.last_used
        if not sessions.served and not service.followers and idle >= settings.idle_exit_s:
            _log.info("daemon.idle", seconds=int(idle))
            stop.set()
            return
