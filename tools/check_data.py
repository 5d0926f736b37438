"""Check the data of a config before training.

    mmdiffperc check-data configs/vpd/vpd_sd1-5_8xb3-25e_nyu-480x480.py

The tool builds the data sets for training, validation and testing, but no model, so it needs no weights. It reports:

- missing, empty and unreadable folders, lists, images and annotations, wrong labels and wrong units of depth;
- annotation maps without an image;
- a number of samples or an image size that differs from the published data set, see docs/data.md;
- samples that the pipeline cannot load, and maps that do not have the size of their image.

It compares the sizes of 1,000 samples and loads 20 samples, evenly spaced over each data set, so it takes only seconds.
It lists the first five wrong sizes of each data set.

If the tool finds a fault, the exit status is 1.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from mmengine import Config, fileio
from mmengine.registry import DATASETS, init_default_scope

from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

if TYPE_CHECKING:
    from mmengine.dataset import BaseDataset

PHASES = ('train', 'val', 'test')
MAP_KEYS = ('seg_map_path', 'depth_map_path')
SIZES_COMPARED, SAMPLES_LOADED = 1000, 20  # of each data set
MOST_SIZES = 5  # wrong sizes that are listed for each data set


class Published(NamedTuple):
    """A split of a published data set.

    Args:
        samples (int): Number of samples that the data set of the config has.
        size (tuple[int, int], optional): Height and width of its images. Default: they differ.
    """

    samples: int
    size: tuple[int, int] | None = None


NYU_SIZE, CITYSCAPES_SIZE, HYPERSIM_SIZE, VIRTUAL_KITTI_SIZE = (480, 640), (1024, 2048), (768, 1024), (375, 1242)
# The list or the folder that defines a split, and for the sentences of RefCOCO also the name of the split.
PUBLISHED = {
    'data/ade/ADEChallengeData2016/images/training': Published(20210),
    'data/ade/ADEChallengeData2016/images/validation': Published(2000),
    'data/cityscapes/leftImg8bit/train': Published(2975, CITYSCAPES_SIZE),
    'data/cityscapes/leftImg8bit/train_extra': Published(19998, CITYSCAPES_SIZE),
    'data/cityscapes/leftImg8bit/val': Published(500, CITYSCAPES_SIZE),
    'data/mapillary/training/images': Published(18000),
    'data/mapillary/validation/images': Published(2000),
    'data/nyu/images/train': Published(24231, NYU_SIZE),
    'data/nyu/images/test': Published(654, NYU_SIZE),
    'data/kitti/train.txt': Published(23158),
    'data/kitti/test.txt': Published(652),
    'data/hypersim/train_depth.txt': Published(59543, HYPERSIM_SIZE),
    'data/hypersim/train_normals.txt': Published(59543, HYPERSIM_SIZE),
    'data/hypersim/val_depth.txt': Published(7386, HYPERSIM_SIZE),
    'data/hypersim/val_normals.txt': Published(7386, HYPERSIM_SIZE),
    'data/virtual_kitti/depth.txt': Published(21260, VIRTUAL_KITTI_SIZE),
    'data/virtual_kitti/normals.txt': Published(21260, VIRTUAL_KITTI_SIZE),
    'data/coco/refcoco/refs(unc).p, train': Published(42404),
    'data/coco/refcoco/refs(unc).p, val': Published(10834),
    'data/coco/refcoco/refs(unc).p, testA': Published(5657),
    'data/coco/refcoco/refs(unc).p, testB': Published(5095),
    'data/coco/refcoco+/refs(unc).p, train': Published(42278),
    'data/coco/refcoco+/refs(unc).p, val': Published(10758),
    'data/coco/refcoco+/refs(unc).p, testA': Published(5726),
    'data/coco/refcoco+/refs(unc).p, testB': Published(4889),
    'data/coco/refcocog/refs(umd).p, train': Published(42226),
    'data/coco/refcocog/refs(umd).p, val': Published(4896),
    'data/coco/refcocog/refs(umd).p, test': Published(9602),
    'data/coco/annotations/instances_train2017.json': Published(117266),
    'data/coco/annotations/instances_val2017.json': Published(5000),
    'data/coco/annotations/person_keypoints_train2017.json': Published(149813),
    'data/coco/person_detection_results/COCO_val2017_detections_AP_H_56_person.json': Published(104125),
}


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'config')
    add_shared(parser, '--cfg-options')
    return parser


def configured_datasets(config: Config) -> Iterator[tuple[str, dict]]:
    """Yield the phases, and the config of each data set once, without those that wrap it, such as ``ConcatDataset``.

    Raises:
        ValueError: The config has no data loader.
    """
    loaders = {phase: as_list(config.get(f'{phase}_dataloader')) for phase in PHASES}
    if not any(loaders.values()):
        raise ValueError(
            f'{config.filename}: expected a config with train_dataloader, val_dataloader or test_dataloader'
        )
    found: list[tuple[list[str], dict]] = []
    for phase, loader in ((phase, loader) for phase, listed in loaders.items() for loader in listed):
        for dataset in unwrapped(loader['dataset']):
            if same := next((phases for phases, other in found if other == dataset), None):
                same.append(phase)
            else:
                found.append(([phase], dataset))
    return ((', '.join(phases), dataset) for phases, dataset in found)


def as_list(config: dict | list | None) -> list:
    """Return the configs in a list, in which there may also be a single one or none."""
    return config if isinstance(config, list) else [config] if config else []


def unwrapped(dataset: dict) -> Iterator[dict]:
    """Yield the config of a data set, or the configs of those that it wraps."""
    inner = [dataset['dataset']] if 'dataset' in dataset else dataset.get('datasets')
    if inner is None:
        yield dataset
    else:
        for one in inner:
            yield from unwrapped(one)


def source_of(dataset: BaseDataset) -> str:
    """Return the list or the folder that defines the samples, as ``PUBLISHED`` names it."""
    if split_file := getattr(dataset, 'split_file', None):
        return f'{os.path.normpath(split_file)}, {dataset.split}'
    prefix = dataset.data_prefix
    folder = prefix.get('img_path') or prefix.get('img') or ''
    return os.path.normpath(getattr(dataset, 'bbox_file', None) or dataset.ann_file or folder)


def published(source: str) -> Published | None:
    """Return the published split, if the data are in the folder of ``docs/data.md``."""
    return next((split for name, split in PUBLISHED.items() if f'/{source}'.endswith(f'/{name}')), None)


def faults(dataset: BaseDataset) -> Iterator[str]:
    """Yield what is wrong with a data set that could be built."""
    from mmdiffperc.files import spread
    from mmdiffperc.progress import progress

    source, number = source_of(dataset), len(dataset)
    split = published(source)
    if split and split.samples != number:
        yield f'{source}: expected {split.samples} samples, got {number}'
    yield from maps_without_image(dataset)
    infos = map(dataset.get_data_info, progress(spread(range(number), SIZES_COMPARED), 'compare sizes', 'sample'))
    sizes = chain.from_iterable(wrong_sizes(info, split and split.size) for info in infos)
    yield from islice(sizes, MOST_SIZES)
    for index in progress(spread(range(number), SAMPLES_LOADED), 'load', 'sample'):
        try:
            dataset[index]
        except Exception as error:  # a transform can fail in any way on damaged data
            yield f'{dataset.get_data_info(index).get("img_path")}: the pipeline cannot load it: {error}'


def maps_without_image(dataset: BaseDataset) -> Iterator[str]:
    """Yield folders with label maps or depth maps whose image is missing, unless a list selects the images."""
    folders = {} if dataset.ann_file else {key: dataset.data_prefix.get(key) for key in MAP_KEYS}
    for key, folder in folders.items():
        if not folder or not fileio.isdir(folder):
            continue
        suffix = dataset.seg_map_suffix
        there = {
            f'{folder}/{name}'
            for name in fileio.list_dir_or_file(folder, list_dir=False, suffix=suffix, recursive=True)
        }
        used = {os.path.normpath(dataset.get_data_info(index)[key]) for index in range(len(dataset))}
        if unused := sorted(path for path in there if os.path.normpath(path) not in used):
            yield f'{folder}: {len(unused)} of {len(there)} maps have no image, such as {unused[0]}'


def wrong_sizes(info: dict, expected: tuple[int, int] | None) -> Iterator[str]:
    """Yield an image that does not have the expected size, and maps that do not have the size of the image."""
    from mmdiffperc.inference.image_headers import read_header

    image = read_header(info.get('img_path'))
    if image and expected and image.stored != expected:
        yield f'{info["img_path"]}: expected {expected} pixels (height, width), got {image.stored}'
    for path in filter(None, map(info.get, MAP_KEYS)):
        if image and (header := read_header(path)) and header.stored not in (image.stored, image.turned):
            yield f'{path}: expected the size of the image, {image.stored} (height, width), got {header.stored}'


def missing_evaluator_files(config: Config) -> Iterator[str]:
    """Yield annotation files of evaluators that do not exist; they are not read before the first validation."""
    for phase in ('val', 'test'):
        entries = as_list(config.get(f'{phase}_evaluator'))
        for evaluator in chain.from_iterable(map(as_list, entries)):  # with several loaders, each has a list
            file = evaluator.get('ann_file')
            if file and not fileio.exists(file):
                yield f'{phase}_evaluator.ann_file={file!r} does not exist'


def check(config: Config) -> list[str]:
    """Build and check the data sets of a config, and print the number of samples of each.

    Returns:
        list[str]: What is wrong.
    """
    init_default_scope(config.get('default_scope', 'mmengine'))
    found = list(missing_evaluator_files(config))
    for phases, dataset_config in configured_datasets(config):
        try:
            dataset = DATASETS.build(dataset_config)
            dataset.full_init()
        except (OSError, ValueError, ImportError) as error:
            found.append(f'{phases}: {error}')
            continue
        source = source_of(dataset)
        note = '' if published(source) else ' (no published number to compare)'
        print(f'{phases}: {type(dataset).__name__} of {source}, samples: {len(dataset)}{note}')
        found += [f'{phases}: {fault}' for fault in faults(dataset)]
    return found


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    config = Config.fromfile(args.config)
    config.merge_from_dict(args.cfg_options or {})
    if found := check(config):
        title = f'{args.config}: faults: {len(found)}; docs/data.md describes the folders and files'
        raise ValueError('\n- '.join([title, *found]))
    print('No faults found.')


if __name__ == '__main__':
    sys.exit(main())
