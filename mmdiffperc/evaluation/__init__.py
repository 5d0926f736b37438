"""Measures on plain arrays, without any host; the metric classes of hosts and of this package call them."""
