"""The command line of mmdiffperc. It is separate because ``import mmdiffperc`` takes seconds.

Nothing here imports torch, so ``--help`` and wrong arguments are answered at once.
"""

import logging

# mmengine imports bitsandbytes, which on some CPUs advises to install kernels for layers of 4 bits.
logging.getLogger('bitsandbytes.backends.cpu.ops').setLevel(logging.ERROR)
