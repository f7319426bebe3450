"""Uploading in three steps: ask for an address, send the bytes, complete.

https://docs.slack.dev/messaging/working-with-files#upload
"""

import secrets
from typing import Any

from runbookd.drill.slack.answers import Arguments, SlackError
from runbookd.drill.slack.chat import writable_channel
from runbookd.drill.slack.limiter import Limiter
from runbookd.drill.slack.workspace import File, Workspace


def upload_address(workspace: Workspace, arguments: Arguments, base: str) -> dict[str, Any]:
    """``files.getUploadURLExternal``."""
    name = arguments.needed("filename")
    length = arguments.needed("length")
    if not length.isdecimal() or int(length) < 1:
        raise SlackError("invalid_arguments", ["length must be positive [json-pointer:/length]"])
    file = File(workspace.new_id("F0"), name, name, int(length), secrets.token_hex(16))
    workspace.files[file.id] = file
    return {"ok": True, "upload_url": f"{base}/upload/v1/{file.upload}", "file_id": file.id}


def receive(workspace: Workspace, upload: str, data: bytes) -> None:
    """The bytes of a file, sent to its address, once.

    Raises:
        SlackError: an unknown or used address, or not as many bytes as announced.
    """
    file = next((each for each in workspace.files.values() if each.upload == upload), None)
    if file is None or file.data is not None:
        raise SlackError("invalid_upload")
    if len(data) != file.length:
        raise SlackError("length_mismatch")
    file.data = data


def complete(workspace: Workspace, limiter: Limiter, arguments: Arguments) -> dict[str, Any]:
    """``files.completeUploadExternal``; with a channel the files are shown there."""
    wanted = arguments.structure("files", "invalid_arguments")
    if not isinstance(wanted, list) or not wanted:
        raise SlackError("invalid_arguments", ["missing required field: files [json-pointer:]"])
    found: list[File] = []
    for entry in wanted:
        file = workspace.files.get(entry.get("id", "")) if isinstance(entry, dict) else None
        if file is None or file.data is None:
            raise SlackError("file_not_found")
        file.title = entry.get("title") or file.name
        found.append(file)
    channel_id = arguments.text("channel_id") or arguments.text("channels")
    if channel_id is not None:
        channel = writable_channel(workspace, Arguments({"channel": channel_id}))
        thread_ts = arguments.text("thread_ts")
        if thread_ts is not None and workspace.message(channel.id, thread_ts) is None:
            raise SlackError("thread_not_found")
        limiter.post(channel.id)
        message = workspace.post(
            channel.id,
            arguments.text("initial_comment") or "",
            [],
            thread_ts,
            files=[_described(file) for file in found],
            upload=True,
        )
        for file in found:
            file.shares.append({"channel": channel.id, "ts": message.ts})
    workspace.changed()
    return {"ok": True, "files": [_described(file) for file in found]}


def info(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``files.info``: tells in which message a file was shown."""
    file = workspace.files.get(arguments.needed("file", "file_not_found"))
    if file is None or file.data is None:
        raise SlackError("file_not_found")
    shares: dict[str, list[dict[str, str]]] = {}
    for share in file.shares:
        shares.setdefault(share["channel"], []).append({"ts": share["ts"]})
    return {"ok": True, "file": {**_described(file), "shares": {"public": shares}}}


def _described(file: File) -> dict[str, Any]:
    return {"id": file.id, "name": file.name, "title": file.title, "size": file.length}
