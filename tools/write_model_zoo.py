"""Write the published results in the README files and docs/model_zoo.md from the metafiles.

    python tools/write_model_zoo.py

Each folder of configs has a metafile.yml, which lists its configs with the results in the papers and the official
checkpoints. Pages show them between the comments <!-- published: NAME --> and <!-- /published -->.
"""

import sys
from argparse import ArgumentParser

from model_zoo.layouts import write_pages

from mmdiffperc.command_line import one_line_errors, tool_parser


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    return tool_parser(__doc__)


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    build_parser().parse_args(arguments)
    for page in write_pages():
        print(f'{page}: written')


if __name__ == '__main__':
    sys.exit(main())
