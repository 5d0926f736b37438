"""The command line of mmdiffperc. It is separate because ``import mmdiffperc`` takes seconds.

Nothing here imports torch, so ``--help`` and wrong arguments are answered at once.
"""
