"""From an event to a line: redacted, timed, numbered, chained and written in canonical form."""

from collections.abc import Sequence

from runbookd.canonical import canonical
from runbookd.clock import Clock, rfc3339
from runbookd.errors import InputError
from runbookd.events import Actor, Event, Recorded
from runbookd.record.chain import Chain
from runbookd.record.reader import MAX_LINE
from runbookd.record.redaction import Redactor
from runbookd.record.scrub import scrubbed

_MONO_BITS = 52


class Sealer:
    """Makes lines. Touches no file."""

    def __init__(self, clock: Clock, redactor: Redactor) -> None:
        self._clock = clock
        self._redactor = redactor

    def seal(
        self, chain: Chain, events: Sequence[Event], actor: Actor
    ) -> tuple[Chain, list[tuple[Recorded, bytes]]]:
        """The lines that ``events`` become behind ``chain``.

        Returns:
            The chain after them (the given one is left as it is), and the lines, each with its
            bytes and line feed.

        Raises:
            InputError: an event has no canonical form, or is longer than a line may be.
        """
        chain = chain.copy()
        lines: list[tuple[Recorded, bytes]] = []
        for event in events:
            clean, rules = scrubbed(event, self._redactor)
            mono, boot = monotonic(self._clock)
            line = Recorded(
                log=chain.log,
                seq=chain.size,
                prev=chain.prev,
                ts=rfc3339(self._clock.now()),
                mono=mono,
                boot=boot,
                actor=actor,
                event=clean,
                redacted=rules,
            )
            raw = _serialised(line)
            chain.add(raw)
            lines.append((line, raw + b"\n"))
        return chain, lines


def _serialised(line: Recorded) -> bytes:
    try:
        raw = canonical(line.to_json())
    except (ValueError, RecursionError) as error:
        raise InputError(f"a {line.event.type} event cannot be recorded: {error}") from error
    if len(raw) >= MAX_LINE:
        raise InputError(
            f"a {line.event.type} event of {len(raw)} bytes is too long for a line",
            "store what is long as a blob",
        )
    return raw


def monotonic(clock: Clock) -> tuple[int, str]:
    """The monotonic time, and the name of the span that it can be compared in.

    Nanoseconds outgrow the integers of JSON after 104 days without a reboot. So the span is the
    boot, or, after every 52 days, a numbered part of it.
    """
    now = clock.monotonic_ns()
    part = now >> _MONO_BITS
    boot = clock.boot()
    return now & ((1 << _MONO_BITS) - 1), f"{boot}.{part}" if part else boot
