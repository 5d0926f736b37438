"""Pack the targets in a folder into an lmdb database. The names of the images are the keys.

    python projects/dmp/tools/pack_lmdb.py data/bedrooms/train --targets normals \\
        --out data/bedrooms/targets/train/normals

INPUT is the folder of the images, with or without metadata.jsonl, or an lmdb of images. The database
appears when it is complete. If the tool fails, it leaves no files behind.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from generation import add_keys, open_images, select
from tqdm import tqdm

from mmdiffperc.command_line import add_shared, one_line_errors, tool_parser
from mmdiffperc.files import whole_folder
from mmdiffperc.generative.target_files import decode_target
from mmdiffperc.generative.target_stores import FolderTargets, lmdb_errors, new_database, open_targets, put

# Upper limit for the size of the database. It reserves only addresses, not disk space.
MAP_SIZE = 1 << 40


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='folder or lmdb of images')
    add_keys(parser)
    parser.add_argument('--targets', type=Path, required=True, metavar='FOLDER', help='folder of the targets')
    add_shared(parser, '--out', 'lmdb', required=True)
    return parser


def pack(images: Path, targets: Path, out: Path, keys: Path | None = None) -> int:
    """Pack the targets of images; return their number, or 0 if the database is already complete."""
    names, source = select(open_images(images)[0], keys, images), FolderTargets(targets)
    if missing := source.missing(names):
        raise FileNotFoundError(
            f'{targets}: expected a target for each of {len(names)} images; missing: {len(missing)}, such as '
            f'{missing[0]}'
        )
    if out.exists():
        if not isinstance(open_targets(out), FolderTargets) and not open_targets(out).missing(names):
            return 0
        raise FileExistsError(f'{out} exists and is not an lmdb of these targets. Name another folder, or remove it')
    with whole_folder(out) as partial, lmdb_errors(out):
        write_database(partial, names, source)
    return len(names)


def write_database(folder: Path, names: list[str], source: FolderTargets):
    """Write all targets into a new database."""
    with new_database(folder, MAP_SIZE) as database:
        for name in tqdm(names, desc=str(source.path), unit='target'):
            content, file = source.read(name)
            decode_target(content, file)
            put(database, name, content)
        database.sync(True)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    number = pack(args.input, args.targets, args.out, args.keys)
    print(f'{args.out}: {f"{number} targets packed" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
