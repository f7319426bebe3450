"""Whether Slack is set up."""

from pathlib import Path

import pytest

from runbookd.approvals.slack.tokens import slack_tokens
from runbookd.errors import SettingsError
from runbookd.settings import Settings, load_settings


def having(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **given: str) -> Settings:
    for name, value in given.items():
        monkeypatch.setenv(f"RUNBOOKD_SLACK__{name.upper()}", value)
    return load_settings(tmp_path)


def test_without_any_slack_setting_there_is_no_slack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert slack_tokens(having(tmp_path, monkeypatch)) is None


def test_with_all_of_them_both_tokens_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = having(tmp_path, monkeypatch, bot_token="xoxb", app_token="xapp", channel="C1")
    assert slack_tokens(settings) == ("xoxb", "xapp")


@pytest.mark.parametrize("left_out", ["bot_token", "app_token", "channel"])
def test_half_of_them_is_an_error_that_names_the_missing_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    given = {"bot_token": "xoxb", "app_token": "xapp", "channel": "C1"}
    del given[left_out]
    with pytest.raises(SettingsError, match=left_out):
        slack_tokens(having(tmp_path, monkeypatch, **given))
