"""Measures on plain arrays or tensors, without any host; the metric classes of hosts and of this package call them."""
