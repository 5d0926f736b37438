"""Depth estimation."""
