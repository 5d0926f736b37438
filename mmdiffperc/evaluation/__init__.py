"""Measures on plain arrays, without any host."""
