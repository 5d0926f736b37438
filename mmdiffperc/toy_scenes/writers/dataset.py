"""Write data sets of toy scenes: :func:`.write_dataset`."""

import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
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
from mmdiffperc.toy_scenes.language import caption, described_objects
from mmdiffperc.toy_scenes.render import MIN_SIZE, render
from mmdiffperc.toy_scenes.sampling import sample_scene
from mmdiffperc.validation import Expected, Listed, NonNegativeInt, PositiveInt, validated

from .base import SPLITS, Sample, write_file
from .formats import FORMATS, READ_BY_CONFIGS

MANIFEST = 'toy_scenes.json'
CAPTIONS_PER_SCENE = 4
# Part of the manifest: raise it when equal arguments no longer give equal files.
GENERATOR = 2


Side = Annotated[int, Field(ge=MIN_SIZE, le=8192), Expected(f'a number of pixels from {MIN_SIZE} to 8192')]
Size = Annotated[
    Side | Annotated[Listed[Side], Field(min_length=2, max_length=2)],
    Expected(f'a side or (height, width), in pixels from {MIN_SIZE} to 8192'),
]


@validated
@dataclass(frozen=True)
class DatasetSpec:
    """The arguments that determine every byte of the data sets.

    Args:
        num_train (int): Number of training scenes.
        num_val (int): Number of validation scenes.
        size (int | tuple[int, int]): Side of the square images, or (height, width), in pixels.
        seed (int): A scene is a function of the seed, the domain, the split and its number.
        formats (tuple[str]): Keys of ``FORMATS``. Defaults to the formats that the configs read.
        domain (str): Key of ``DOMAINS``: the domain of the formats whose names do not state one. Defaults to 'a'.

    Raises:
        ValueError: A value is out of range.
    """

    num_train: PositiveInt
    num_val: PositiveInt
    size: Size = 128
    seed: NonNegativeInt = 0
    formats: Listed[Literal[tuple(FORMATS)]] = READ_BY_CONFIGS
    domain: Literal[tuple(DOMAINS)] = 'a'


def write_dataset(out, spec, workers=1):
    """Write toy scenes in the formats of the hosts, each into a folder with its name.

    Existing formats are not changed; missing ones are added. Each folder gets its name when it is complete.

    Args:
        out (str | Path): Folder of the formats, such as ``data/toy``. Missing parent folders are created.
        spec (DatasetSpec): What to write.
        workers (int): Number of processes that render. Defaults to 1.

    Returns:
        list[str]: The formats that were missing.

    Raises:
        FileExistsError: The folder of a format holds something else, or scenes with other arguments.
    """
    out = Path(out).absolute()
    missing = [name for name in dict.fromkeys(spec.formats) if not _is_written(out, name, spec)]
    if not missing:
        return []
    try:
        _write(out, spec, missing, workers)
    except OSError:
        # Another process may have written some of them in the meantime; anything else is an error.
        if not any(_is_written(out, name, spec) for name in missing):
            raise
        write_dataset(out, spec, workers)
    return missing


def make_sample(spec, split, index, domain=None):
    """Render one scene of a data set and describe it.

    Args:
        spec (DatasetSpec): The data set.
        split (str): 'train' or 'val'.
        index (int): Number within the split.
        domain (str, optional): Key of ``DOMAINS``. Default: the domain of the data set.

    Returns:
        Sample: A pure function of the arguments.
    """
    domain = domain or spec.domain
    seed = [spec.seed, list(DOMAINS).index(domain), SPLITS.index(split), index]
    rendering = render(sample_scene(seed, domain), spec.size)
    rng = np.random.default_rng([*seed, 1])
    return Sample(
        split=split,
        index=index,
        image_id=1 + index + (spec.num_train if split == 'val' else 0),
        name=f'{rendering.scene.category}_{index:06d}',
        rendering=rendering,
        captions=tuple(caption(rendering, rng) for _ in range(CAPTIONS_PER_SCENE)),
        references=tuple(described_objects(rendering, rng)),
    )


def _is_written(out, name, spec):
    """Return whether the folder of a format holds these scenes; raise an error if it holds anything else."""
    folder = out / name
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / MANIFEST).is_file():
        raise FileExistsError(f'{folder} exists, but is not a finished toy data set: name another folder, or remove it')
    found, wanted = json.loads((folder / MANIFEST).read_text()), json.loads(_manifest(name, spec))
    if found != wanted:
        raise FileExistsError(
            f'{folder} holds toy scenes with other arguments: expected {wanted}, got {found}. Name another folder, or '
            'remove it'
        )
    return True


def _domain(name, spec):
    return FORMATS[name].domain or spec.domain


def _manifest(name, spec):
    arguments = asdict(spec) | dict(domain=_domain(name, spec), generator=GENERATOR)
    del arguments['formats']
    return json.dumps(arguments, indent=2) + '\n'


def _write(out, spec, formats, workers):
    with ExitStack() as stack:
        roots = {name: stack.enter_context(whole_folder(out / name)) for name in formats}
        writers = {name: FORMATS[name].writer(root, FORMATS[name].splits) for name, root in roots.items()}
        scenes = _scenes(spec, formats)
        with _scene_records(roots, spec, scenes, workers) as scene_records:
            for records in tqdm(scene_records, total=len(scenes), desc='toy scenes', unit='scene'):
                for name, record in records.items():
                    writers[name].add(record)
        for name, writer in writers.items():
            writer.close()
            write_file(roots[name] / MANIFEST, _manifest(name, spec))


def _scenes(spec, formats):
    """Return the domain, the split and the number of every scene."""
    numbers = dict(train=spec.num_train, val=spec.num_val)
    parts = sorted({(_domain(name, spec), split) for name in formats for split in FORMATS[name].splits})
    return [(domain, split, index) for domain, split in parts for index in range(numbers[split])]


@contextmanager
def _scene_records(roots, spec, scenes, workers):
    """Yield the records of each scene by format, in the order of the scenes; on leaving, all workers have finished."""
    work = partial(_write_scene, roots, spec)
    if workers == 1:
        yield map(work, scenes)
        return
    pool = ProcessPoolExecutor(workers, initializer=end_with_parent)
    try:
        # In chunks, so that all are soon submitted: an interrupt in `submit` can leave the pool waiting for ever.
        yield pool.map(work, scenes, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)


def _write_scene(roots, spec, scene):
    domain, split, index = scene
    sample = make_sample(spec, split, index, domain)
    return {
        name: FORMATS[name].writer.write_scene(root, sample)
        for name, root in roots.items()
        if _domain(name, spec) == domain and split in FORMATS[name].splits
    }
