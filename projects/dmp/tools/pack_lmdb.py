"""Pack the targets in a folder into an lmdb database.

    python projects/dmp/tools/pack_lmdb.py data/bedrooms/train --targets normals \\
        --out data/bedrooms/targets/train/normals

INPUT is the folder of the images, with or without metadata.jsonl, or an lmdb of images. The names of the images are the
keys; with --extra-key, the keys are those that the official code of DMP reads. The database appears when it is
complete. If the tool fails, it leaves no files behind.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from generation import add_keys, open_images, select
from tqdm import tqdm

from mmdiffperc.files import whole_folder
from mmdiffperc.generative.data.target_files import decode_target
from mmdiffperc.generative.data.target_stores import (
    FolderTargets,
    check_unique,
    find_keys,
    lmdb_errors,
    new_database,
    official_key,
    open_targets,
    put,
)
from mmdiffperc_cli.options import add_shared, one_line_errors, tool_parser

# Upper limit for the size of the database. It reserves only addresses, not disk space.
MAP_SIZE = 1 << 40


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='folder or lmdb of images')
    add_keys(parser)
    parser.add_argument('--targets', type=Path, required=True, metavar='FOLDER', help='folder of the targets')
    add_shared(parser, '--out', 'lmdb', required=True)
    add_shared(parser, '--extra-key', 'r for albedo, s for shading')
    return parser


def pack(images: Path, targets: Path, out: Path, selected: Path | None, extra_key: str | None) -> int:
    """Pack the targets of images; return their number, or 0 if the database is already complete."""
    names, source = select(open_images(images)[0], selected, images), FolderTargets(targets)
    files = find_keys(source, names)
    keys = names if extra_key is None else [official_key(name, extra_key) for name in names]
    check_unique(names, keys)
    if out.exists():
        if not isinstance(open_targets(out), FolderTargets) and not open_targets(out).missing(keys):
            return 0
        raise FileExistsError(f'{out} exists and is not an lmdb of these targets. Name another folder, or remove it')
    with whole_folder(out) as partial, lmdb_errors(out):
        write_database(partial, dict(zip(keys, files, strict=True)), source)
    return len(names)


def write_database(folder: Path, entries: dict[str, str], source: FolderTargets):
    """Write the targets into a new database, given their files by their keys."""
    with new_database(folder, MAP_SIZE) as database:
        for key, file in tqdm(entries.items(), desc=str(source.path), unit='target'):
            content, path = source.read(file)
            decode_target(content, path)
            put(database, key, content)
        database.sync(True)


@one_line_errors(ValueError, OSError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    number = pack(args.input, args.targets, args.out, args.keys, args.extra_key)
    print(f'{args.out}: {f"{number} targets packed" if number else "already there, complete"}.')


if __name__ == '__main__':
    sys.exit(main())
