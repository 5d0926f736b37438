"""The command line of mmdiffperc. It is a package of its own because ``import mmdiffperc`` takes seconds.

Nothing here imports torch, so ``--help`` and wrong arguments are answered at once.
"""
