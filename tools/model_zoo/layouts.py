"""The tables, numbers and lists of published results in the pages. They are written from the metafiles.

A page holds them between ``<!-- published: NAME -->`` and ``<!-- /published -->``. To add one, put these comments
where it belongs and its layout under this name into ``LAYOUTS``. A layout returns its text for the entries of the
metafiles and a page, to which the links are relative.
"""

import os
import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

from marked_blocks import pages, table, with_blocks

from mmdiffperc.files import write_whole

from .metafiles import HUB, MINIATURE, Model, read_models

KIND = 'published'


def config(model: Model, page: Path) -> str:
    """Return a link to the config."""
    return f'[{model.name}]({os.path.relpath(model["Config"], page.parent)})'


def source(model: Model, page: Path) -> str:
    """Return links to the pages with the results, with the names of repositories and folders."""
    paths = [address.partition('#')[0].split('/')[4:] for address in model.sources]
    labels = ['/'.join(path).replace('/tree/main', '') for path in paths]
    return ', '.join(f'[{label}]({address})' for label, address in zip(labels, model.sources, strict=True))


def hub(model: Model, page: Path) -> str:
    """Return a link to the folder on the Hugging Face hub."""
    return f'[{model.address.removeprefix(HUB)}]({model.address})'


def schedule(model: Model, page: Path) -> str:
    """Return the length of the training."""
    iterations, epochs = model.metadata('Iterations'), model.metadata('Epochs')
    return f'{int(iterations):,} iterations' if iterations else f'{epochs} epochs'


def metadata(field: str) -> Callable:
    """Return a column with a field of the metadata."""
    return lambda model, page: model.metadata(field)


def metric(name: str, dataset: str | None = None) -> Callable:
    """Return a column with the numbers of a metric."""
    return lambda model, page: model.metric(name, dataset)


def published(name: str) -> Callable:
    """Return a column with the numbers of a metric, which marks full-size configs without published results."""

    def column(model: Model, page: Path) -> str:
        missing = '' if model.results or MINIATURE in model.name else 'none'
        return model.metric(name) or missing

    return column


def headline(model: Model, page: Path) -> str:
    """Return the main metrics, each with its numbers for all data sets."""
    shared = set.intersection(*(set(metrics) for metrics in model.results.values()))
    return '; '.join(
        f'{label} {", ".join(model.metric(name, dataset) for dataset in model.results)}'
        for name, label in HEADLINES.items()
        if name in shared
    )


def rows(names: str, columns: dict[str, Callable]) -> Callable:
    """Return the layout of a table with a row for each config.

    Args:
        names (str): Pattern of the names of the configs.
        columns (dict[str, Callable]): By the heading of each column, a function of entry and page that returns a cell.
    """

    def render(models: dict[str, Model], page: Path) -> str:
        chosen = [model for name, model in models.items() if re.fullmatch(names, name)]
        return table(list(columns), [[column(model, page) for column in columns.values()] for model in chosen])

    return render


def number(name: str, metric: str) -> Callable:
    """Return the layout of a number of a config, for a sentence."""
    return lambda models, page: models[name].metric(metric)


def checkpoints(*collections: str) -> Callable:
    """Return the layout of a section for each official checkpoint of some collections."""

    def render(models: dict[str, Model], page: Path) -> str:
        chosen = (model for model in models.values() if model['In Collection'] in collections and model.address)
        return '\n' + '\n'.join(section(model, page) for model in chosen)

    return render


def section(model: Model, page: Path) -> str:
    """Return the section of a checkpoint: config, address, published results and commands."""
    found = '; '.join(
        f'{dataset}: {", ".join(" ".join(item) for item in metrics.items())}'
        for dataset, metrics in model.results.items()
    )
    results = f'{found} ({source(model, page)})' if found else f'none: {model["No Results"]}'
    commands = ''.join(f'{command}\n' for command in model.commands())
    return (
        f'### {model.name}\n\n'
        f'- Config: {config(model, page)}\n'
        f'- Checkpoint: <{model.address}>\n'
        f'- Published results: {results}\n\n'
        f'```bash\n{commands}```\n'
    )


def results(models: dict[str, Model], page: Path) -> str:
    """Return a table of all published results, with a row for each checkpoint."""
    names = '|'.join(re.escape(name) for name, model in models.items() if model.results)
    return rows(names, RESULTS)(models, page)


def without_checkpoint(models: dict[str, Model], page: Path) -> str:
    """Return a table of the full-size configs without an official checkpoint, with the reasons."""
    chosen = (model for model in models.values() if 'No Weights' in model)
    reasons = groupby(chosen, lambda model: model['No Weights'])
    return table(
        ['config', 'why'], [[', '.join(config(model, page) for model in group), why] for why, group in reasons]
    )


RECIPE = {
    'config': config,
    'data': metadata('Training Data'),
    'images per iteration': metadata('Batch Size'),
    'schedule': schedule,
    'note': metadata('Note'),
}
SEGMENTATION = {'published mIoU': published('mIoU'), 'multi-scale + flip': metric('mIoU(ms+flip)')}
DEPTH = {'published RMSE (m)': published('RMSE'), 'd1': metric('d1'), 'REL': metric('REL')}
POSE = {'published AP': published('AP'), 'AR': metric('AR')}
REFERRING = {'published oIoU (val)': published('oIoU'), 'mIoU': metric('mIoU')}
DEPTH_SETS = ('NYU', 'KITTI', 'ETH3D', 'ScanNet', 'DIODE')
NORMAL_SETS = ('NYU', 'ScanNet', 'iBims-1', 'Sintel')
HEADLINES = {
    'oIoU': 'oIoU',
    'mIoU': 'mIoU',
    'mIoU(ms+flip)': 'with multi-scale + flip',
    'RMSE': 'RMSE (m)',
    'd1': 'd1',
    'AbsRel(%)': 'AbsRel (%)',
    'Mean Angle': 'mean angle (°)',
    'AP': 'AP',
    'AR': 'AR',
    'box AP': 'box AP',
}
RESULTS = {
    'method': lambda model, page: f'[{model["In Collection"]}]({os.path.relpath(model["Config"], page.parent)})',
    'benchmark': lambda model, page: ', '.join(model.results),
    'result': headline,
    'note': metadata('Note'),
    'source': source,
}
VPD = 'vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512'

LAYOUTS = {
    'vpd-miou': number(VPD, 'mIoU'),
    'results': results,
    'vpd-segmentation': rows(r'vpd_[^_]+_\d+xb[^_]+_(ade20k|toy-ade)-.*', RECIPE | SEGMENTATION),
    'vpd-depth': rows(r'vpd_.*nyu-.*', RECIPE | DEPTH | {'source': source}),
    'vpd-referring': rows(r'vpd_.*refcoco.*', RECIPE | REFERRING),
    'metaprompts-segmentation': rows(
        r'metaprompts_.*(ade|ade20k|cityscapes|extra|mapillary)-\d.*', RECIPE | SEGMENTATION
    ),
    'metaprompts-depth': rows(r'metaprompts_.*(nyu|kitti)-.*', RECIPE | DEPTH),
    'metaprompts-pose': rows(r'td-hm_metaprompts-.*', RECIPE),
    'detection': rows(r'(retinanet|mask-rcnn)_.*', RECIPE),
    'one-step-recipes': rows(r'(e2e-ft|lotus-d)_.*\dxb.*', RECIPE),
    'one-step-models': rows(
        r'(marigold|e2e-ft|lotus-d).*_(depth|disparity|normals)',
        {'config': config, 'model': metadata('Note'), 'weights': hub},
    ),
    'e2e-ft-depth': rows(
        r'e2e-ft-\w+_depth', {'model': config} | {name: metric('AbsRel(%)', name) for name in DEPTH_SETS}
    ),
    'e2e-ft-normals': rows(
        r'e2e-ft-\w+_normals', {'model': config} | {name: metric('Mean Angle', name) for name in NORMAL_SETS}
    ),
    'tadp-segmentation': rows(r'tadp.*fpn_\d+xb.*', RECIPE | SEGMENTATION),
    'tadp-depth': rows(r'tadp.*nyu-.*', RECIPE | DEPTH),
    'tadp-detection': rows(
        r'faster-rcnn_tadp.*', RECIPE | {'published AP': published('box AP'), 'AP50': metric('box AP50')}
    ),
    'ecodepth': rows(r'ecodepth.*', RECIPE | DEPTH),
    'vpd-checkpoints': checkpoints('VPD'),
    'metaprompts-checkpoints': checkpoints('MetaPrompts'),
    'one-step-checkpoints': checkpoints('Marigold', 'E2E-FT', 'Lotus'),
    'evp-depth': rows(r'evp.*(nyu|kitti)-.*', RECIPE | DEPTH),
    'evp-referring': rows(r'evp.*refcoco.*', RECIPE | REFERRING),
    'sdpose': rows(r'td-hm_sdpose-.*', RECIPE | POSE),
    'evp-checkpoints': checkpoints('EVP'),
    'sdpose-checkpoints': checkpoints('SDPose'),
    'dmp-checkpoints': checkpoints('DMP'),
    'tadp-checkpoints': checkpoints('TADP'),
    'ecodepth-checkpoints': checkpoints('ECoDepth'),
    'without-checkpoint': without_checkpoint,
}


def with_results(page: Path, models: dict[str, Model]) -> str:
    """Return the text of a page, with its blocks written from the metafiles."""
    return with_blocks(KIND, page.read_text(encoding='utf-8'), lambda name, _: LAYOUTS[name](models, page))


def write_pages() -> list[Path]:
    """Write the results into all pages, and return the pages that have changed."""
    models = read_models()
    changed = [page for page in pages() if with_results(page, models) != page.read_text(encoding='utf-8')]
    for page in changed:
        write_whole(page, with_results(page, models))
    return changed
