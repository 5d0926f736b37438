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

What [`swap_backbone`](../README.md#swap-it-in) makes of configs of the hosts: which levels of the U-Net neck and heads
get (0 is the finest), and with which strides. Those are the strides of the features that the old backbone gave them; a
feature that nothing reads becomes a level that is there anyway.

Each config has been swapped, built, trained for one step and used to predict, with random weights at a small width;
every trained weight of the backbone got a gradient. Nothing is set by hand but what the last column says. For the trial
itself images are small, synchronised batch norm is batch norm, mmsegmentation tests whole images, albumentations are
left out, and codecs that work bottom up are scaled down; associative embedding, for which mmpose has no training
pipeline, gets that of DEKR.

- *as is*: the name of the config is enough.
- *with* ...: it works when `swap_backbone` is given this argument.
- *{needs_mmcv}*: an operator is missing in mmcv-lite, with any backbone.
- *cannot*: what follows the backbone works with its own only. It is what `swap_backbone` says.

Strides below 4 take memory, because a level has 320 channels and more; heads of mmsegmentation work with any stride, so
`strides` can say something else. The features of a plain ViT all have one stride, so they become one level. Where a
neck made a pyramid of them, the U-Net has one already: set `cfg.model.neck = None` and `strides=(4, 8, 16, 32)`.

Of mmsegmentation these are all model bases, and a config of each further kind of head. The page is written by
`python tools/sweep_stock_configs.py --write`; `make sweep` checks it, `make test-mmcv` does so with full mmcv.
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
