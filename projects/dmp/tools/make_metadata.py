"""Write metadata.jsonl for a folder of images, with a caption for each image.

    python projects/dmp/tools/make_metadata.py photos --text-file captions.txt
    python projects/dmp/tools/make_metadata.py photos --model Salesforce/blip2-opt-2.7b
    torchrun --nproc-per-node 8 projects/dmp/tools/make_metadata.py photos --model Salesforce/blip2-opt-2.7b

The captions are the lines of a text file, in the order of the image names, or an image-to-text model of transformers
writes them. Without both options, the file lists only the names. To continue after an interruption, run the same
command again. The tool reports images that the model cannot read at the end, and leaves them out.
"""

import sys
from argparse import ArgumentParser
from pathlib import Path

from generation import add_options, parse_options, settings_of

from mmdiffperc.files import write_whole
from mmdiffperc.generative.captions import read_captions
from mmdiffperc.generative.image_captioner import ImageCaptioner
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.batched_lines import check_settings, make_lines, parts_folder
from mmdiffperc.inference.metadata import METADATA, image_files, metadata_line
from mmdiffperc.nearest import what_is_there
from mmdiffperc_cli.options import add_shared, existing_file, one_line_errors, positive, tool_parser

SETTINGS = 'make_metadata.json'
EXISTS = '{} exists already and has other content. Remove it to write it again'


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='folder of images')
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--text-file', type=existing_file, metavar='FILE', help='captions of the images, one per line')
    add_shared(source, '--model', 'image-to-text model that writes the captions')
    parser.add_argument(
        '--max-tokens', type=positive, default=40, metavar='N',
        help='largest number of tokens in a caption (default: %(default)s)',
    )  # fmt: skip
    add_options(parser, batch_size=8)
    return parser


def write_captions(file: Path, names: list[str], captions: list) -> int:
    """Write captions that exist already; return their number.

    Raises:
        FileExistsError: The folder has other metadata.
        ValueError: The numbers of images and captions differ.
    """
    if len(captions) != len(names):
        raise ValueError(f'expected a caption for each of {len(names)} images in {file.parent}, got {len(captions)}')
    content = ''.join(metadata_line(name, caption) for name, caption in zip(names, captions, strict=True)).encode()
    if file.exists() and file.read_bytes() != content:
        raise FileExistsError(EXISTS.format(file))
    write_whole(file, content)
    return len(names)


def caption_images(args, file: Path, names: list[str]) -> int:
    """Caption the images of this process with a model; return their number.

    Raises:
        FileExistsError: The folder has other metadata.
    """
    if file.exists() and not (args.input / SETTINGS).exists():
        raise FileExistsError(EXISTS.format(file))
    # The batch size is a setting here, because each batch becomes a file.
    settings = settings_of(args) | dict(images=names, batch_size=args.batch_size)
    check_settings(args.input / SETTINGS, file.exists() or parts_folder(file).exists(), **settings)
    with TolerantReader() as read:
        return make_lines(file, args, names, lambda: load_captioner(args, read), 'captions')


def load_captioner(args, read: TolerantReader):
    """Load the model; return a function that makes the lines of a batch of images."""
    captioner = ImageCaptioner(args.model, args.device, args.dtype, args.max_tokens)

    def lines(indices, names):
        images = {name: image for name in names if (image := read(args.input / name)) is not None}
        captions = captioner.caption(list(images.values())) if images else []
        return [metadata_line(*line).rstrip('\n') for line in zip(images, captions, strict=True)]

    return lines


def make_metadata(args) -> int:
    """Write the file, or the part of this process; return the number of images in it.

    Raises:
        FileNotFoundError: The folder contains no images.
    """
    file = args.input / METADATA
    names = [image.name for image in image_files(args.input)]
    if not names:
        raise FileNotFoundError(f'{args.input}: expected a folder of images; {what_is_there(str(args.input))}')
    if args.model:
        return caption_images(args, file, names)
    return write_captions(file, names, read_captions(args.text_file) if args.text_file else [[]] * len(names))


@one_line_errors(ValueError, OSError, RuntimeError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_options(build_parser(), arguments)
    number = make_metadata(args)
    is_whole = (args.input / METADATA).exists()
    print(f'{args.input / METADATA}: {number} images{"" if is_whole else ", not yet complete"}.')


if __name__ == '__main__':
    sys.exit(main())
