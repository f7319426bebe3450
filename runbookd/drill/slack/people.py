"""Who there is in the drill's workspace, and how Slack describes them."""

from dataclasses import dataclass, field, replace
from typing import Any

TEAM = "T0DRILL"
TEAM_DOMAIN = "drill"
APP = "A0RUNBOOKD"
APP_NAME = "runbookd"
BOT_USER = "U0BOT"
BOT = "B0RUNBOOKD"
CHANNEL = "C0INCIDENT"
RESPONDER = "U0YOU"
COMMANDERS = "S0COMMAND"


@dataclass(frozen=True)
class Member:
    """A person (or bot) as ``users.info`` knows them."""

    id: str
    name: str
    real_name: str
    team_id: str = TEAM
    deleted: bool = False
    is_bot: bool = False
    is_app_user: bool = False
    is_admin: bool = False
    is_restricted: bool = False
    is_ultra_restricted: bool = False
    is_stranger: bool = False

    def described(self) -> dict[str, Any]:
        """The user object of the Web API."""
        about: dict[str, Any] = {
            "id": self.id,
            "team_id": self.team_id,
            "name": self.name,
            "deleted": self.deleted,
            "real_name": self.real_name,
            "tz": "Etc/UTC",
            "profile": {
                "real_name": self.real_name,
                "display_name": self.name,
                "real_name_normalized": self.real_name,
                "display_name_normalized": self.name,
                "team": self.team_id,
            },
            "is_bot": self.is_bot,
            "is_app_user": self.is_app_user,
            "updated": 1764000000,
        }
        if self.deleted:
            return about
        # Slack says nothing about roles of people who are gone.
        about |= {
            "is_admin": self.is_admin,
            "is_owner": False,
            "is_primary_owner": False,
            "is_restricted": self.is_restricted,
            "is_ultra_restricted": self.is_ultra_restricted,
            "is_email_confirmed": True,
        }
        if self.is_stranger:
            about["is_stranger"] = True
        return about


@dataclass(frozen=True)
class Group:
    """A user group (``@commanders``)."""

    id: str
    handle: str
    name: str
    users: tuple[str, ...] = ()

    def described(self) -> dict[str, Any]:
        """The user group object of the Web API, without its members."""
        return {
            "id": self.id,
            "team_id": TEAM,
            "is_usergroup": True,
            "is_external": False,
            "handle": self.handle,
            "name": self.name,
            "date_delete": 0,
            "user_count": len(self.users),
        }


@dataclass(frozen=True)
class Channel:
    """A channel. The bot can post where it is a member."""

    id: str
    name: str
    members: frozenset[str] = frozenset()
    archived: bool = False

    def described(self) -> dict[str, Any]:
        """The conversation object of the Web API."""
        return {
            "id": self.id,
            "name": self.name,
            "name_normalized": self.name,
            "is_channel": True,
            "is_group": False,
            "is_im": False,
            "is_private": False,
            "is_archived": self.archived,
            "is_general": False,
            "is_member": BOT_USER in self.members,
            "is_ext_shared": any(member == "U0EXT" for member in self.members),
            "context_team_id": TEAM,
            "num_members": len(self.members),
        }


_MEMBERS = (
    Member(RESPONDER, "you", "You (the responder)"),
    Member("U0DANA", "dana", "Dana Ortiz", is_admin=True),
    Member("U0LEE", "lee", "Lee Park"),
    Member("U0MAX", "max", "Max Weber"),
    Member("U0GUEST", "guest", "Gil Guest", is_restricted=True),
    Member(BOT_USER, APP_NAME, APP_NAME, is_bot=True),
    Member("U0GONE", "gone", "Robin Gone", deleted=True),
    Member("U0EXT", "ext", "Eve External", team_id="T0EXT", is_stranger=True),
)


@dataclass
class Directory:
    """The people, groups and channels as they are now."""

    members: dict[str, Member] = field(
        default_factory=lambda: {member.id: member for member in _MEMBERS}
    )
    groups: dict[str, Group] = field(
        default_factory=lambda: {
            COMMANDERS: Group(COMMANDERS, "commanders", "Commanders", ("U0DANA", "U0LEE"))
        }
    )
    channels: dict[str, Channel] = field(
        default_factory=lambda: {
            channel.id: channel
            for channel in (
                Channel(CHANNEL, "incidents", frozenset(member.id for member in _MEMBERS)),
                Channel("C0GENERAL", "general", frozenset({RESPONDER, "U0DANA"})),
                Channel("C0OLD", "old-incidents", frozenset({BOT_USER}), archived=True),
            )
        }
    )

    def change_member(self, user: str, changes: dict[str, Any]) -> None:
        """Change or add a member.

        Raises:
            ValueError: an unknown property, or a value of the wrong type.
        """
        known = Member.__dataclass_fields__
        before = self.members.get(user, Member(user, user.lower(), user))
        for name, value in changes.items():
            if name not in known or name == "id":
                raise ValueError(f"a member has no {name}")
            if type(value) is not type(getattr(before, name)):
                raise ValueError(f"{name} cannot be {value!r}")
        self.members[user] = replace(before, **changes)

    def set_group(self, group: str, users: list[str]) -> None:
        """Say who is in a group; an unknown group comes into being."""
        before = self.groups.get(group, Group(group, group.lower(), group))
        self.groups[group] = replace(before, users=tuple(users))

    def set_bot_in_channel(self, channel: str, member: bool) -> None:
        """Invite the bot to a channel, or throw it out.

        Raises:
            KeyError: no such channel.
        """
        before = self.channels[channel]
        members = before.members | {BOT_USER} if member else before.members - {BOT_USER}
        self.channels[channel] = replace(before, members=members)
