"""Write a whole data set of toy scenes: :func:`.write_dataset`."""

import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from tqdm import tqdm

from mmdiffperc.files import whole_folder
from mmdiffperc.processes import end_with_parent
from mmdiffperc.toy_scenes.domains import DOMAINS
from mmdiffperc.toy_scenes.language import caption, referring_expressions
from mmdiffperc.toy_scenes.render import MIN_SIZE, render
from mmdiffperc.toy_scenes.sampling import sample_scene
from mmdiffperc.validation import Expected, Listed, NonNegativeInt, PositiveInt, validated

from .ade import AdeWriter
from .base import SPLITS, Sample, image_path, write_png
from .coco import CocoWriter
from .dmp import DmpWriter
from .nyu import NyuWriter
from .refcoco import RefCocoWriter

FORMATS = {'ade': AdeWriter, 'nyu': NyuWriter, 'coco': CocoWriter, 'refcoco': RefCocoWriter, 'dmp': DmpWriter}
MANIFEST = 'toy_scenes.json'
CAPTIONS_PER_SCENE = 4
# Part of the manifest: raise it when equal arguments no longer give equal files.
GENERATOR = 1


Side = Annotated[int, Field(ge=MIN_SIZE, le=8192), Expected(f'a number of pixels from {MIN_SIZE} to 8192')]
Size = Annotated[
    Side | Annotated[Listed[Side], Field(min_length=2, max_length=2)],
    Expected(f'a side or (height, width), in pixels from {MIN_SIZE} to 8192'),
]


@validated
@dataclass(frozen=True)
class DatasetSpec:
    """What decides every byte of a data set.

    Args:
        num_train (int): Number of training scenes.
        num_val (int): Number of validation scenes.
        size (int | tuple[int, int]): Side of the square images, or (height, width), in pixels.
        seed (int): Scenes are a function of it, the domain, the split and their number.
        domain (str): 'a' or 'b'.
        formats (tuple[str]): Keys of ``FORMATS``.
        generator (int): Version of the generator.

    Raises:
        ValueError: For anything out of range.
    """

    num_train: PositiveInt
    num_val: PositiveInt
    size: Size = 128
    seed: NonNegativeInt = 0
    domain: Literal[tuple(DOMAINS)] = 'a'
    formats: Listed[Literal[tuple(FORMATS)]] = tuple(FORMATS)
    generator: PositiveInt = GENERATOR

    def __post_init__(self):
        # Their order changes nothing, so it shall not make two equal data sets look different.
        object.__setattr__(self, 'formats', tuple(name for name in FORMATS if name in self.formats))

    @property
    def scenes(self):
        """list[tuple[str, int]]: Split and number of every scene."""
        return [('train', index) for index in range(self.num_train)] + [('val', index) for index in range(self.num_val)]


def write_dataset(out, spec, workers=1):
    """Write a data set in the hosts' own formats, or leave it if it is there already.

    It is written beside ``out`` and renamed at the end, so what bears the name ``out`` is always complete.

    Args:
        out (str | Path): Folder to create; may exist if it is empty or holds the same data set, in these formats at
            least.
        spec (DatasetSpec): What to write.
        workers (int): Processes that render. Defaults to 1.

    Returns:
        bool: False if it was there already.

    Raises:
        FileExistsError: If ``out`` holds something else.
        ValueError: If there are no workers.
    """
    if workers < 1:
        raise ValueError(f'workers must be at least 1, got {workers}.')
    out = Path(out).absolute()
    if _is_written(out, spec):
        return False
    try:
        with whole_folder(out) as partial_out:
            _write(partial_out, spec, workers)
    except OSError:
        # Another process may have written the same in the meantime; anything else is an error.
        if not _is_written(out, spec):
            raise
    return True


def make_sample(spec, split, index):
    """Render one scene of a data set and put it in words.

    Args:
        spec (DatasetSpec): The data set.
        split (str): 'train' or 'val'.
        index (int): Number within the split.

    Returns:
        Sample: A pure function of the arguments.
    """
    seed = [spec.seed, list(DOMAINS).index(spec.domain), SPLITS.index(split), index]
    rendering = render(sample_scene(seed, spec.domain), spec.size)
    rng = np.random.default_rng([*seed, 1])
    return Sample(
        split=split,
        index=index,
        image_id=1 + index + (spec.num_train if split == 'val' else 0),
        name=f'{rendering.scene.category}_{index:06d}',
        rendering=rendering,
        captions=tuple(caption(rendering, rng) for _ in range(CAPTIONS_PER_SCENE)),
        references=tuple(referring_expressions(rendering, rng)),
    )


def _is_written(out, spec):
    """Return whether ``out`` holds this very data set, maybe in more formats; an error if it holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    manifest = out / MANIFEST
    if not manifest.is_file():
        raise FileExistsError(f'{out} exists and is not a finished toy data set. Name another folder, or remove it.')
    found, wanted = json.loads(manifest.read_text()), json.loads(_manifest(spec))
    if found | dict(formats=None) != wanted | dict(formats=None) or not set(found['formats']).issuperset(spec.formats):
        raise FileExistsError(
            f'{out} holds a toy data set of other arguments: {found}, asked for: {wanted}. '
            'Name another folder, or remove it.'
        )
    return True


def _manifest(spec):
    return json.dumps(asdict(spec), indent=2) + '\n'


def _write(root, spec, workers):
    writers = {name: FORMATS[name](root) for name in spec.formats}
    with _scene_records(root, spec, workers) as scene_records:
        for records in tqdm(scene_records, total=len(spec.scenes), desc='toy scenes', unit='scene'):
            for name, writer in writers.items():
                writer.add(records[name])
    for writer in writers.values():
        writer.close()
    (root / MANIFEST).write_text(_manifest(spec))


@contextmanager
def _scene_records(root, spec, workers):
    """Return what each scene's `write_scene` calls return, in the order of the scenes; all workers have finished."""
    work = partial(_write_scene, root, spec)
    if workers == 1:
        yield map(work, spec.scenes)
        return
    pool = ProcessPoolExecutor(workers, initializer=end_with_parent)
    try:
        yield pool.map(work, spec.scenes)
    finally:
        pool.shutdown(cancel_futures=True)


def _write_scene(root, spec, scene):
    sample = make_sample(spec, *scene)
    write_png(image_path(root, sample), sample.rendering.image)
    return {name: FORMATS[name].write_scene(root, sample) for name in spec.formats}
