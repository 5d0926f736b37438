"""Make the page about stock configs with the diffusion backbone, and compare it with a sweep."""

import re
from collections.abc import Iterable, Mapping

from .entries import StockConfig
from .trial import Trial

TITLES = dict(mmseg='mmsegmentation', mmdet='mmdetection', mmpose='mmpose')
COLUMNS = '| config | levels | strides | |\n|---|---|---|---|'
AS_IS = 'as is'
NEEDS_MMCV = 'needs full mmcv'
PAGE = """# Stock configs with the diffusion backbone

These tables show which stock configs of mmsegmentation, mmdetection and mmpose work with the diffusion backbone.
[`swap_backbone`](../README.md#swap-it-in) replaced the backbone of each config. The columns give the U-Net levels that
the neck and the heads receive (0 is the finest), and the strides of these levels. The strides equal those of the
original features. If the model ignores a feature, `swap_backbone` replaces it with a level that the model uses anyway.

The last column says what the swap needs:

- *as is*: only the name of the config.
- *with* ...: this argument of `swap_backbone`.
- *{needs_mmcv}*: an operator that mmcv-lite lacks. The original config needs it, too.
- *cannot*: the swap fails, because a part of the model works only with the original backbone. The text is the error
  message of `swap_backbone`.

Levels with strides below 4 need much memory, because every level of Stable Diffusion 1.5 has at least 320 channels.
The heads of mmsegmentation accept any strides, so you can pass larger ones. The features of a plain ViT all have the
same stride, so the swap replaces them with a single level. If the neck builds a pyramid from these features, you can
use the pyramid of the U-Net instead: set `cfg.model.neck = None` and pass `strides=(4, 8, 16, 32)`.

Each swapped model was built with random weights and a narrow U-Net, trained for one step, and used for prediction.
Every trained weight of the backbone received a gradient. To keep the trials small, they use small images, batch norm
instead of synchronised batch norm, whole-image inference in mmsegmentation, smaller codecs for bottom-up pose
estimation, and no albumentations. mmpose has no training pipeline for associative embedding, so its trial uses the
pipeline of DEKR.

The mmsegmentation table contains all model bases, and one config for each head that no base uses.
`python tools/sweep_stock_configs.py --write` generates this page, and `make sweep` checks it. With full mmcv,
`make test-mmcv` checks it.
"""


def make_row(stock: StockConfig, trial: Trial) -> str:
    """Return the row of a config."""
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
        rows (dict[str, Iterable[str]]): Table rows by host.
    """
    tables = [f'## {TITLES[host]}\n\n{COLUMNS}\n' + '\n'.join(lines) + '\n' for host, lines in rows.items()]
    return '\n'.join([PAGE.format(needs_mmcv=NEEDS_MMCV), *tables])


def compare(page: str, rows: Iterable[str], full_mmcv: bool) -> list[str]:
    """Compare a page with the rows of a sweep.

    Args:
        page (str): The page.
        rows (Iterable[str]): The rows.
        full_mmcv (bool): Whether full mmcv is installed. Rows that say *needs full mmcv* must then work.

    Returns:
        list[str]: The rows that differ from the page.
    """
    written = {line.split('|')[1]: line for line in page.splitlines() if line.startswith('| `')}
    return [row for row in rows if not _agree(written.get(row.split('|')[1], ''), row, full_mmcv)]


def _agree(written, found, full_mmcv) -> bool:
    if full_mmcv and NEEDS_MMCV in written:
        return found.endswith(f'{AS_IS} |')
    return written == found
