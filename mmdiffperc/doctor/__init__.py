"""``python -m mmdiffperc doctor``: what is installed, what is broken or missing, and what to type.

Only the standard library is imported here, and the rest of the package is not: where ``import mmdiffperc`` fails,
``python /path/to/mmdiffperc/doctor`` runs the same program from its folder.
"""
