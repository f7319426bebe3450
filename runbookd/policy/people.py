"""Who somebody is, and which groups they are in: pure, from the policy and what was looked up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from runbookd.policy.model import Policies


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody, with every account that is known to be theirs.

    ``person`` is their name in the policy, or None. An OS user is the name in the passwd
    database, or the number as text where there is none; everywhere the same spelling.
    """

    person: str | None = None
    slack: frozenset[str] = frozenset()
    os_users: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """There is an account at all."""
        return bool(self.slack or self.os_users)

    @property
    def actor_id(self) -> str:
        """The id of :class:`runbookd.events.Actor`: the person, else an account.

        Raises:
            ValueError: nobody is known.
        """
        if self.person is not None:
            return self.person
        for prefix, accounts in (("slack", self.slack), ("os", self.os_users)):
            if accounts:
                return f"{prefix}:{min(accounts)}"
        raise ValueError("an identity without an account has no id")


def person_for(
    policies: Policies, *, os_user: str | None = None, slack: str | None = None
) -> str | None:
    """The person that these accounts belong to; None when unknown, or when they belong to two."""
    found = {
        each.person
        for each in policies.identities
        if os_user in each.os_user or slack in each.slack
    }
    return found.pop() if len(found) == 1 else None


def identity_for(
    policies: Policies, *, os_user: str | None = None, slack: str | None = None
) -> Identity:
    """Somebody by the accounts they came with, and all other accounts of the same person."""
    person = person_for(policies, os_user=os_user, slack=slack)
    known = _of_person(policies, person) if person is not None else Identity()
    return Identity(
        person,
        known.slack | ({slack} if slack else set()),
        known.os_users | ({os_user} if os_user else set()),
    )


def identity_of(policies: Policies, actor_id: str) -> Identity:
    """Somebody by the id that a record has for them, with all accounts that the policy knows."""
    prefix, _, account = actor_id.partition(":")
    match prefix:
        case "slack":
            return identity_for(policies, slack=account)
        case "os":
            return identity_for(policies, os_user=account)
        case _:
            return _of_person(policies, actor_id)


def groups_of(
    policies: Policies,
    identity: Identity,
    *,
    slack_members: Mapping[str, frozenset[str]],
    os_groups: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """The groups of the policy that somebody is in.

    Args:
        policies: where the groups are named.
        identity: who.
        slack_members: the Slack users of each Slack user group that was looked up just now. One
            whose look-up failed is left out, and then nobody is in it.
        os_groups: the groups of the operating system that the OS user is in.
    """
    found = set()
    for name, group in policies.groups.items():
        members: frozenset[str] = frozenset()
        if group.slack_usergroup is not None:
            members = slack_members.get(group.slack_usergroup, members)
        if (
            identity.person in group.people
            or identity.slack & members
            or os_groups.intersection(group.os_groups)
        ):
            found.add(name)
    return frozenset(found)


def slack_usergroups(policies: Policies, groups: Iterable[str]) -> frozenset[str]:
    """The Slack user groups to look up for these groups of the policy."""
    named = (policies.groups.get(name) for name in groups)
    return frozenset(
        group.slack_usergroup for group in named if group is not None and group.slack_usergroup
    )


def _of_person(policies: Policies, person: str) -> Identity:
    for each in policies.identities:
        if each.person == person:
            return Identity(person, frozenset(each.slack), frozenset(each.os_user))
    return Identity(person)
