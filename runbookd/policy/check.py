"""What is allowed in a policy but is probably not what its author meant."""

from runbookd.policy.model import DEFAULT_GROUP, Policies

_READING = ("GET ", "HEAD ", "OPTIONS ")


def warnings(policies: Policies) -> tuple[str, ...]:
    """One sentence for each doubtful thing, for `policy check` and the daemon's start."""
    return (*_groups(policies), *_lanes(policies), *_not_in_force(policies))


def _groups(policies: Policies) -> list[str]:
    found = []
    named = {each.person for each in policies.identities}
    used = {group: f"rule {rule.name}" for rule in policies.rules for group in rule.approve.by}
    used.setdefault(DEFAULT_GROUP, "cells that no rule matches")
    for name, user in used.items():
        group = policies.groups.get(name)
        if group is None:
            found.append(f"the group {name} ({user}) is not defined, so nobody is in it")
        elif group.empty:
            found.append(f"the group {name} ({user}) is empty, so nobody is in it")
    found += [
        f"the group {name} names {person}, who is not in identities, so nobody is meant"
        for name, group in policies.groups.items()
        for person in group.people
        if person not in named
    ]
    for rule in policies.rules:
        if not rule.approve.by:
            found.append(f"rule {rule.name} names no group, so nobody can approve")
        groups = [policies.groups[name] for name in rule.approve.by if name in policies.groups]
        listed = {person for group in groups for person in group.people if person in named}
        open_ended = any(group.slack_usergroup or group.os_groups for group in groups)
        if groups and not open_ended and len(listed) < rule.approve.quorum:
            found.append(
                f"rule {rule.name} needs {rule.approve.quorum} people, "
                f"but its groups have only {len(listed)}"
            )
    return found


def _lanes(policies: Policies) -> list[str]:
    found = [
        f"connector {name} lets the read-only lane send {allowance}; make sure that it changes "
        "nothing"
        for name, connector in policies.connectors.items()
        for allowance in connector.read_only
        if not allowance.startswith(_READING)
    ]
    found += [
        f"connector {name} sends its credential over plain HTTP"
        for name, connector in policies.connectors.items()
        if connector.credential and connector.url.startswith("http://")
    ]
    if policies.lanes.read_only.sandbox == "unenforced":
        found.append("lanes.read-only.sandbox is unenforced: read-only is a promise, not a wall")
    return found


def _not_in_force(policies: Policies) -> list[str]:
    keys = []
    for rule in policies.rules:
        if rule.approve.remind:
            keys.append(f"rule {rule.name}: remind")
        if rule.approve.escalate:
            keys.append(f"rule {rule.name}: escalate")
        if rule.break_glass:
            keys.append(f"rule {rule.name}: break_glass")
    if policies.retention.sessions:
        keys.append("retention")
    return [f"{key} is not in force yet" for key in keys]
