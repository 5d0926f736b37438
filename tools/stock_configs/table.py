"""The page about the stock configs that work with the diffusion backbone."""

import re
from collections.abc import Iterable, Mapping

from .entries import StockConfig
from .trial import Trial

TITLES = dict(mmseg='mmsegmentation', mmdet='mmdetection', mmpose='mmpose')
COLUMNS = '| config | levels | strides | |\n|---|---|---|---|'
AS_IS = 'as is'
NEEDS_MMCV = 'needs full mmcv'
PAGE = """# Stock configs with the diffusion backbone

The tables list configs of the hosts and what [`swap_backbone`](../README.md#swap-it-in) makes of them: the levels of
the U-Net that neck and heads receive (0 is the finest), and their strides. The strides equal those of the features
of the old backbone. If no part of the model reads a feature, it becomes a level that is used anyway.

Each config has been swapped, built, trained for one step and used for prediction, with random weights and a small
width. Every trained weight of the backbone received a gradient. The last column states all changes that were made by
hand. The trial itself uses small images, batch norm instead of synchronised batch norm, whole images in the tests of
mmsegmentation, smaller codecs for bottom-up pose estimation, and no albumentations. mmpose has no training pipeline for
associative embedding, so DEKR's is used.

- *as is*: the name of the config is sufficient.
- *with* ...: `swap_backbone` needs this argument.
- *{needs_mmcv}*: mmcv-lite lacks an operator, which the original config needs, too.
- *cannot*: a part of the model only works with the old backbone. The text is the message of `swap_backbone`.

Strides below 4 need much memory, because a level has 320 channels or more. Heads of mmsegmentation work with any
stride, so you can pass other `strides`. All features of a plain ViT have the same stride, so they become one level.
If a neck builds a pyramid from them, remove it, because the U-Net has one already: set `cfg.model.neck = None` and
`strides=(4, 8, 16, 32)`.

For mmsegmentation, the table contains all model bases, and one config for each further kind of head.
`python tools/sweep_stock_configs.py --write` writes this page. `make sweep` checks it, and `make test-mmcv` does so
with full mmcv.
"""


def make_row(stock: StockConfig, trial: Trial) -> str:
    """Return a row of the table."""
    numbers = [' '.join(map(str, values)) for values in (trial.levels, trial.strides)]
    name = stock.name.partition('::')[2]
    return f'| `{name}` | {numbers[0]} | {numbers[1]} | {_verdict(stock, trial)} |'


def _verdict(stock, trial) -> str:
    if operator := re.search('operator (`.*?`) needs the compiled extension', trial.problem):
        return f'{NEEDS_MMCV}: {operator[1]}'
    if trial.problem:
        return f'cannot: {trial.problem}'
    options = ', '.join(f'`{name}={value}`' for name, value in stock.options)
    verdict = f'with {options}' if options else AS_IS
    return f'{verdict}; {stock.note}' if stock.note else verdict


def make_page(rows: Mapping[str, Iterable[str]]) -> str:
    """Return the page.

    Args:
        rows (dict[str, Iterable[str]]): Rows of the table of each host, by its name.
    """
    tables = [f'## {TITLES[host]}\n\n{COLUMNS}\n' + '\n'.join(lines) + '\n' for host, lines in rows.items()]
    return '\n'.join([PAGE.format(needs_mmcv=NEEDS_MMCV), *tables])


def compare(page: str, rows: Iterable[str], full_mmcv: bool) -> list[str]:
    """Compare a page with the rows of a sweep.

    Args:
        page (str): The page.
        rows (Iterable[str]): The rows.
        full_mmcv (bool): Whether full mmcv is installed, with which the configs that need it work.

    Returns:
        list[str]: The rows that the page lacks.
    """
    written = {line.split('|')[1]: line for line in page.splitlines() if line.startswith('| `')}
    return [row for row in rows if not _agree(written.get(row.split('|')[1], ''), row, full_mmcv)]


def _agree(written, found, full_mmcv) -> bool:
    if full_mmcv and NEEDS_MMCV in written:
        return found.endswith(f'{AS_IS} |')
    return written == found
