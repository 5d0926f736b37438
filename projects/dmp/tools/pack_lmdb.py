"""Pack a folder of targets into an lmdb, with the names of their images as keys.

    python projects/dmp/tools/pack_lmdb.py data/bedrooms/train normals data/bedrooms/targets/train/normals

IMAGES is the folder of the images, with metadata.jsonl or without. The database bears its name only when it is
complete; of a run that fails, nothing is left.
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from mmdiffperc.command_line import one_line_errors
from mmdiffperc.files import whole_folder
from mmdiffperc.generative.target_files import decode_target
from mmdiffperc.generative.target_stores import FolderTargets, lmdb_errors, new_database, open_targets, put
from mmdiffperc.inference.metadata import list_images

# The most a database may grow to, not what it takes; only addresses are reserved.
MAP_SIZE = 1 << 40


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path, help='folder of images')
    parser.add_argument('targets', type=Path, help='folder of their targets')
    parser.add_argument('out', type=Path, help='folder of the lmdb, to be made')
    return parser.parse_args(arguments)


def pack(images: Path, targets: Path, out: Path) -> int:
    """Pack the targets of images; return how many, 0 if the database is there, with all of them.

    Raises:
        FileExistsError: There is something else.
        FileNotFoundError: Images or targets are missing.
        ImportError: The package lmdb is not installed.
        OSError: The disk is full.
        ValueError: A target is damaged.
    """
    names, source = [name for name, _ in list_images(images)], FolderTargets(targets)
    if missing := source.missing(names):
        raise FileNotFoundError(
            f'{len(missing)} of {len(names)} targets are missing in {targets}, such as {missing[0]}; complete the data'
        )
    if out.exists():
        if not isinstance(open_targets(out), FolderTargets) and not open_targets(out).missing(names):
            return 0
        raise FileExistsError(f'{out} exists and is not an lmdb of these targets. Name another folder, or remove it')
    with whole_folder(out) as partial, lmdb_errors(out):
        write_database(partial, names, source)
    return len(names)


def write_database(folder: Path, names: list[str], source: FolderTargets):
    """Write all targets into a new database.

    Raises:
        FileNotFoundError: A target is missing.
        ValueError: A target is damaged, or the name of its image is too long.
    """
    with new_database(folder, MAP_SIZE) as database:
        for name in tqdm(names, desc=str(source.path), unit='target'):
            content, file = source.read(name)
            decode_target(content, file)
            put(database, name, content)
        database.sync(True)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    number = pack(args.images, args.targets, args.out)
    print(f'{args.out}: {f"{number} targets packed" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
