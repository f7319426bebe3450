"""Runbooks: notebooks with runbookd metadata, validated and frozen."""
