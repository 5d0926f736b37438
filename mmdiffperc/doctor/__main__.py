"""Run the doctor in environments in which the package cannot be imported."""

import sys
from pathlib import Path

if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from doctor.command import main

    sys.exit(main())
