"""``python -m mmdiffperc COMMAND``, the same as ``mmdiffperc COMMAND``."""

import sys

from mmdiffperc_cli.main import main

if __name__ == '__main__':
    sys.exit(main())
