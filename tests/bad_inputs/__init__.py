"""More than 600 bad inputs, and how the package answers each of them.

``python tests/bad_inputs`` runs all of them in processes of their own, in which a crash or a hang harms nothing, and
prints what is not clear; ``test_bad_inputs.py`` runs them in the suite and holds the counts to the aims. An area is a
module with a function ``cases()``; list it in ``AREAS``.
"""
