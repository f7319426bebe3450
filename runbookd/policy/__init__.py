"""Who may do what: policies read from YAML, and pure decisions over them."""
