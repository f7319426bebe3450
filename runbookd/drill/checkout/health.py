"""When the checkout service counts as healthy, judged from its own ``GET /metrics``.

The criterion, over the last five seconds:

* p95 of the request duration below 0.2 s, and
* less than 1 % of requests answered with a 5xx status, and
* at least 20 requests: silence is no proof of health.
"""

import re

WINDOW = "5s"
MAX_P95_S = 0.2
MAX_ERROR_RATIO = 0.01
MIN_REQUESTS = 20

_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.ASCII)

P95 = f'checkout_latency_p95_seconds{{window="{WINDOW}"}}'
ERROR_RATIO = f'checkout_error_ratio{{window="{WINDOW}"}}'
REQUESTS = f'checkout_requests{{window="{WINDOW}"}}'


def samples(metrics_text: str) -> dict[str, float]:
    """The samples of a Prometheus text exposition, by name and labels as they are written.

    Raises:
        ValueError: a line that is neither a comment nor a sample.
    """
    found: dict[str, float] = {}
    for line in metrics_text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise ValueError(f"not a sample: {line[:80]!r}")
        name, labels, value = match.groups()
        found[name if labels is None else f"{name}{{{labels}}}"] = float(value)
    return found


def healthy(metrics_text: str) -> bool:
    """Whether the service that wrote ``metrics_text`` meets the criterion; unreadable means no."""
    try:
        found = samples(metrics_text)
        return (
            found[REQUESTS] >= MIN_REQUESTS
            and found[P95] < MAX_P95_S
            and found[ERROR_RATIO] < MAX_ERROR_RATIO
        )
    except (KeyError, ValueError):
        return False
