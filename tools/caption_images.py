"""Caption the images of a folder with any image-to-text model of transformers, for models with CaptionPrompts.

    mmdiffperc caption data/ade/images/training --model Salesforce/blip2-opt-2.7b --out-file captions.json
    mmdiffperc caption --caption-file captions.json --nouns --out-file nouns.json

The suffix of --out-file selects the format: .json is the format of TADP, and .jsonl is the metadata.jsonl of Hugging
Face's ImageFolder. The name of an image is its path relative to INPUT. With --nouns, the tool reduces each caption to
its nouns, which requires NLTK. To continue after an interruption, run the same command again. The tool skips images
that it cannot read, and reports them at the end.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from mmdiffperc_cli.options import add_shared, bounded, existing_file, one_line_errors, positive, tool_parser

FORMATS = ('.json', '.jsonl')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', nargs='?', help='folder of images, with its subfolders')
    source = parser.add_mutually_exclusive_group(required=True)
    add_shared(source, '--model', 'image-to-text model that writes the captions')
    source.add_argument('--caption-file', type=existing_file, metavar='FILE', help='captions to use instead of a model')
    add_shared(parser, '--out-file', ' or '.join(FORMATS), required=True)
    parser.add_argument('--nouns', action='store_true', help='write the nouns of each caption')
    parser.add_argument(
        '--min-tokens', type=bounded(int, 0), default=0, metavar='N',
        help='smallest number of tokens in a caption; TADP uses 0, 20 and 40 (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--max-tokens', type=positive, default=77, metavar='N',
        help='largest number of tokens in a caption (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--cut-last-character', action='store_true',
        help='remove the last character of each caption, as the code of TADP does, even if it is a letter',
    )  # fmt: skip
    add_shared(parser, '--batch-size', default=8)
    add_shared(parser, '--device')
    add_shared(parser, '--dtype', 'for the weights')
    return parser


def parse_args(arguments=None) -> Namespace:
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if (args.input is None) == (args.model is not None):
        parser.error('expected INPUT with --model, and no INPUT with --caption-file')
    if args.out_file.suffix not in FORMATS:
        parser.error(f'--out-file: expected a name that ends in {" or ".join(FORMATS)}, got {str(args.out_file)!r}')
    if args.min_tokens > args.max_tokens:
        parser.error(f'--min-tokens {args.min_tokens}: expected at most --max-tokens {args.max_tokens}')
    args.index, args.world_size = 0, 1
    return args


def write_lines(args: Namespace, file: Path) -> int:
    """Caption the images that have no caption in ``file``, a file of lines; return their number.

    Raises:
        FileNotFoundError: The folder contains no images.
        FileExistsError: Captions exist that were made with other settings.
    """
    from mmdiffperc.inference import TolerantReader
    from mmdiffperc.inference.batched_lines import check_settings, make_lines, parts_folder
    from mmdiffperc.nearest import IMAGE_SUFFIXES, what_is_there

    files = (path for path in sorted(args.input.rglob('*')) if path.suffix.lower() in IMAGE_SUFFIXES)
    names = [path.relative_to(args.input).as_posix() for path in files if not path.name.startswith('.')]
    if not names:
        raise FileNotFoundError(f'{args.input}: expected a folder of images; {what_is_there(str(args.input))}')
    options = ('model', 'min_tokens', 'max_tokens', 'cut_last_character', 'dtype', 'batch_size')
    settings = {name: getattr(args, name) for name in options} | dict(images=names)
    check_settings(file.with_suffix('.settings.json'), file.exists() or parts_folder(file).exists(), **settings)
    with TolerantReader() as read:
        return make_lines(file, args, names, lambda: load_captioner(args, read), 'captions')


def load_captioner(args: Namespace, read):
    """Load the model; return a function that makes the lines of a batch of images."""
    from mmdiffperc.captions.caption_texts import without_last_character
    from mmdiffperc.generative.image_captioner import ImageCaptioner
    from mmdiffperc.inference.metadata import metadata_line

    captioner = ImageCaptioner(args.model, args.device, args.dtype, args.max_tokens, args.min_tokens)
    finish = without_last_character if args.cut_last_character else str

    def lines(indices, names):
        images = {name: image for name in names if (image := read(args.input / name)) is not None}
        captions = captioner.caption(list(images.values())) if images else []
        pairs = zip(images, map(finish, captions), strict=True)
        return [metadata_line(name, caption).rstrip('\n') for name, caption in pairs]

    return lines


def caption_images(args: Namespace) -> int:
    """Write the captions; return their number."""
    from mmdiffperc.captions.caption_file import LINES, CaptionFile, encode_captions, encode_lines
    from mmdiffperc.captions.caption_texts import noun_text, tag_words
    from mmdiffperc.files import write_whole

    source = args.caption_file
    if args.model:
        is_final = args.out_file.suffix == LINES and not args.nouns
        source = args.out_file if is_final else args.out_file.with_suffix('.captions.jsonl')
        write_lines(args, source)
    captions = CaptionFile(source).captions
    if args.nouns:
        captions = {name: noun_text(tag_words(caption)) for name, caption in captions.items()}
    encode = encode_lines if args.out_file.suffix == LINES else encode_captions
    if source != args.out_file:
        write_whole(args.out_file, encode(captions))
    return len(captions)


@one_line_errors(ValueError, OSError, RuntimeError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    print(f'{args.out_file}: {caption_images(args)} captions')


if __name__ == '__main__':
    sys.exit(main())
