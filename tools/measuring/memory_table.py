"""The table of the memory that a training step of VPD needs with each combination of options."""

from collections.abc import Iterator
from itertools import product

from mmengine.config import Config

from .memory import GIB, count

CONFIG = 'configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'
SIZE = (512, 512)
ADAMW = dict(type='AdamW', lr=8e-5, betas=(0.9, 0.999), weight_decay=1e-3)
ADAMW_8BIT = dict(ADAMW, type='AdamW8bit')

TRAINED = {
    'all': {},
    'LoRA, rank 8': {'model.backbone.lora': dict(r=8)},
    'frozen U-Net': {'model.backbone.frozen': True},
}
PRECISIONS = {
    'float32': {},
    'autocast': dict(dtype='bfloat16'),
    'bfloat16 weights': dict(dtype='bfloat16', bfloat16_weights=['backbone.unet']),
}
OPTIMIZERS = {
    'AdamW': dict(optimizer=ADAMW),
    'fused AdamW': dict(optimizer=dict(ADAMW, fused=True)),
    '8-bit AdamW': dict(optimizer=ADAMW_8BIT),
    'fused AdamW in the backward pass': dict(optimizer=dict(ADAMW, fused=True), step_in_backward=True),
    '8-bit AdamW in the backward pass': dict(optimizer=ADAMW_8BIT, step_in_backward=True),
    'AdamW on the CPU': dict(optimizer=ADAMW, offload='cpu'),
}
# The optimizer of the rows with few weights to train, where it makes little difference, and of larger batches, which
# only add activations. With bfloat16 weights, which are updated one by one, it needs as much as unfused AdamW.
USUAL = 'fused AdamW'
COLUMNS = {'2': (2, False), '2, checkpointing': (2, True), '8, checkpointing': (8, True)}
HEADINGS = ('weights to train', 'precision', 'optimizer', *(f'batch of {column}' for column in COLUMNS))


def combinations() -> Iterator[tuple[str, str, str]]:
    """Yield the keys of the rows: what is trained, in which precision, by which optimizer."""
    for trained, precision, optimizer in product(TRAINED, PRECISIONS, OPTIMIZERS):
        is_repeated = precision == 'bfloat16 weights' and optimizer == 'AdamW'
        if optimizer == USUAL or (trained == 'all' and not is_repeated):
            yield trained, precision, optimizer


def cells() -> Iterator[tuple[tuple[str, str, str], str]]:
    """Yield the row and the column of each cell that is counted."""
    for row in combinations():
        for column, (batch_size, _) in COLUMNS.items():
            if batch_size == 2 or (row[0] == 'all' and row[-1] == USUAL):
                yield row, column


def config_of(trained: str, precision: str, optimizer: str, checkpointing: bool) -> Config:
    """Return the config of a row."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(TRAINED[trained] | {'model.backbone.with_cp': checkpointing})
    kept = {key: cfg.optim_wrapper[key] for key in ('constructor', 'paramwise_cfg')}
    cfg.optim_wrapper = dict(type='LowMemoryOptimWrapper', **kept, **PRECISIONS[precision], **OPTIMIZERS[optimizer])
    return cfg


def key(row: tuple[str, str, str], column: str) -> str:
    """Return the name of a count in the file of results."""
    return ' | '.join((*row, column))


def count_cell(row: tuple[str, str, str], column: str) -> dict:
    """Count the memory of a cell."""
    batch_size, checkpointing = COLUMNS[column]
    return count(config_of(*row, checkpointing), batch_size, SIZE)._asdict()


def render(counts: dict[str, dict]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each row: the peaks in GiB, and in parentheses what an optimizer on the CPU needs there."""
    for row in combinations():
        yield *row, *(_shown(counts.get(key(row, column))) for column in COLUMNS)


def _shown(counted: dict | None) -> str:
    if counted is None:
        return ''
    host = f' (CPU: {counted["host"] / GIB:.1f})' if counted['host'] else ''
    return f'{counted["peak"] / GIB:.1f}{host}'
