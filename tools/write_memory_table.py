"""Count the memory of all combinations in the table of docs/memory.md, and write the table.

Counts are stored in resources/memory.json, and each is made only once: remove the file after a change of the backbone,
of the recipe of VPD or of PyTorch. All counts take about half an hour.

    python tools/write_memory_table.py
"""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path

from mmdiffperc_cli.options import one_line_errors, tool_parser

COUNTS, PAGE, KIND = Path('resources/memory.json'), Path('docs/memory.md'), 'counted'


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    return tool_parser(__doc__)


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    build_parser().parse_args(arguments)
    from marked_blocks import table, with_blocks
    from measuring import memory_table
    from mmengine.logging import MMLogger
    from tqdm import tqdm

    from mmdiffperc.files import write_whole

    MMLogger.get_instance('memory', log_level='ERROR')
    stored = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    cells = {memory_table.key(*cell): cell for cell in memory_table.cells()}
    counts = {name: stored[name] for name in cells if name in stored}
    for name, cell in tqdm(cells.items(), desc='count'):
        if name not in counts:
            counts[name] = memory_table.count_cell(*cell)
            write_whole(COUNTS, json.dumps(counts, indent=1) + '\n')
    text = with_blocks(KIND, PAGE.read_text(), lambda *_: table(memory_table.HEADINGS, memory_table.render(counts)))
    write_whole(PAGE, text)


if __name__ == '__main__':
    sys.exit(main())
