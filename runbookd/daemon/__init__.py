"""The daemon: one place where commands enter, over a Unix socket."""
