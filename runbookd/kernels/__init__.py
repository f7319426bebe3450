"""Lanes: kernels, their sandbox, and the connectors through which they reach production."""
