"""The drill's patient: an order service whose pool of connections really leaks.

It runs on loopback as a process of its own (``python -m runbookd.drill.checkout``) and starts
already ill. One code path forgets to give its connection back, so requests queue for the few that
are left: latency and errors stay high. More connections or a restart help for seconds. It heals
when connections that were held too long are reclaimed, again and again: the reaper.
"""
