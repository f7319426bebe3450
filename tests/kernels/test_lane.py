"""The sentence about the lane comes when a wall was hit, and only then."""

import pytest

from runbookd.kernels.lane import explain


@pytest.mark.parametrize(
    "error",
    [
        "PermissionError: [Errno 13] Permission denied: '/etc/hosts'",
        "OSError: [Errno 30] Read-only file system: '/x'",
        "OSError: [Errno 1] Operation not permitted",
        "bash: /etc/x: Permission denied",
        "Error: EACCES: permission denied, open '/x'",
    ],
)
def test_a_wall_of_the_sandbox_is_explained(error: str) -> None:
    said = explain(error)
    assert "read-only lane" in said
    assert "scratch" in said
    assert "gated cell" in said
    assert "\n" not in said


def test_a_refused_request_is_explained() -> None:
    body = '{"error": "runbookd: the read-only lane allows GET /* on x; POST /y is refused"}'
    assert "connectors" in explain(body)


@pytest.mark.parametrize(
    "error",
    [
        "",
        "NameError: name 'x' is not defined",
        "OSError: [Errno 111] Connection refused",
        "[Errno 131]",
    ],
)
def test_other_errors_are_not_blamed_on_the_lane(error: str) -> None:
    assert explain(error) == ""
