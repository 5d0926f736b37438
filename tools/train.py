"""Train a model, with the script and the options of its host.

    mmdiffperc train CONFIG --work-dir FOLDER --resume
    mmdiffperc train CONFIG --help

CONFIG names its host, such as mmseg, in default_scope. The second command lists the options of the host's script. The
first command is equivalent to "mim train mmseg CONFIG", and also accepts the file names of shipped configs.
"""

import sys

from host_script import build_host_parser, run_host_script


def build_parser():
    """Return the command-line parser."""
    return build_host_parser(__doc__)


def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    run_host_script('train.py', build_parser(), arguments)


if __name__ == '__main__':
    sys.exit(main())
