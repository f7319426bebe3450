"""Projects a record into a postmortem draft."""
