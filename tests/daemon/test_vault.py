"""What the daemon redacts once it has seen a secret."""

import base64

import pytest

from runbookd.daemon.vault import Vault
from runbookd.policy.model import Policies

BASIC = "Basic " + base64.b64encode(b"reader:geheim-123").decode()


@pytest.mark.parametrize(
    ("secret", "hidden", "kept"),
    [
        ("Bearer geheim-123", "geheim-123", "Bearer"),
        (BASIC, "geheim-123", "reader"),
        ("reader:geheim-123", "geheim-123", "reader"),
        ("https://pool.internal/x", "https://pool.internal/x", "//pool.internal/"),
    ],
)
async def test_what_a_secret_gives_away_is_redacted_too(
    monkeypatch: pytest.MonkeyPatch, secret: str, hidden: str, kept: str
) -> None:
    vault = Vault()
    redactor = vault.redactor(Policies(digest="0" * 64))
    monkeypatch.setenv("TOKEN", secret)
    assert await vault.resolve("env:TOKEN") == secret
    assert hidden not in redactor.text(f"it was {hidden}, {kept}")[0]
    assert kept in redactor.text(f"it was {kept}")[0]
