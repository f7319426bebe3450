"""The base of runbookd's value objects: frozen, and refusing what they do not know."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

JsonText = str
"""A JSON value as text, such as ``40`` or ``[1.5,null]``: digested and shown as it stands."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 as 64 lower-case hex digits."""


class Frozen(BaseModel):
    """An immutable value; an unknown key is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")
