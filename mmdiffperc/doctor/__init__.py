"""``mmdiffperc doctor``: report what is installed, what is broken or missing, and how to repair it.

The doctor imports the standard library only. If ``import mmdiffperc`` fails, run ``python /path/to/mmdiffperc/doctor``:
the same program, started from its folder.
"""
