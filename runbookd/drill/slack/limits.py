"""Slack's documented limits, and one that was measured. Lengths are in characters.

https://docs.slack.dev/reference/block-kit/ and https://docs.slack.dev/apis/web-api/rate-limits/
"""

MESSAGE_BLOCKS = 50
VIEW_BLOCKS = 100
MESSAGE_TEXT = 40_000
BLOCKS_TOTAL = 13_200
"""All text in the blocks of a message together; undocumented."""

TEXT_OBJECT = 3000
HEADER = 150
SECTION_FIELDS = 10
SECTION_FIELD = 2000
CONTEXT_ELEMENTS = 10
ACTIONS_ELEMENTS = 25
IDENTIFIER = 255
"""action_id, block_id, callback_id and external_id."""

BUTTON_TEXT = 75
BUTTON_VALUE = 2000
BUTTON_URL = 3000
CONFIRM_TITLE = 100
CONFIRM_TEXT = 300
CONFIRM_BUTTON = 30

OPTIONS = 100
CHECKBOXES = 10
OPTION_TEXT = 75
OPTION_VALUE = 150

LABEL = 2000
PLACEHOLDER = 150
INPUT_VALUE = 3000

VIEW_TITLE = 24
VIEW_BUTTON = 24
PRIVATE_METADATA = 3000

ACK_S = 3.0
TRIGGER_S = 3.0
TICKET_S = 30.0
SOCKETS = 10
RESPONSE_URL_S = 1800.0
RESPONSE_URL_USES = 5

POST_PER_S = 1.0
POST_BURST = 5
"""chat.postMessage: about one a second a channel, with short bursts."""

TIERS = {1: 1, 2: 20, 3: 50, 4: 100}
"""Calls a minute by tier."""
