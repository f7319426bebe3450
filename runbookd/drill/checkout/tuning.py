"""The numbers that make the checkout service ill, and curable in the time of a drill."""

from dataclasses import dataclass

LEAKING_PATH = "orders.apply_coupon"
ORDER_PATH = "orders.place"
READ_PATH = "orders.read"


@dataclass(frozen=True)
class Tuning:
    """How the service behaves. Times in seconds.

    The illness: ``rate / leak_every`` connections are lost a second (2.5). The database ends
    transactions that idle for ``database_timeout``, which brings ``size / database_timeout`` back
    (0.7 a second at 20, 1.6 at the largest allowed size). So no size of the pool is large enough.
    With the reaper on, ``leak_timeout * 2.5`` connections are lost at any time: five seconds leave
    7 of 20 for work, eight or more leave none.
    """

    size: int = 20
    max_size: int = 48
    rate: int = 25
    leak_every: int = 10
    acquire_timeout: float = 0.8
    work: float = 0.015
    database_timeout: float = 30.0
    reap_interval: float = 0.25
    suspect_after: float = 2.0
    slow: float = 0.2
    window: float = 5.0
    default_leak_timeout: int = 5
    max_leak_timeout: int = 60
    restart_time: float = 0.5
