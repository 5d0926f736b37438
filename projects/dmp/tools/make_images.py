"""Draw an image for each caption with any text-to-image model in diffusers' format.

    python projects/dmp/tools/make_images.py captions.jsonl --out bedrooms --model CompVis/stable-diffusion-v1-4
    python projects/dmp/tools/make_images.py captions.txt --out drawn --model tiny-sd

The captions are the lines of a text file, or "text" in each line of a .jsonl file. The images are numbered. When all
images are drawn, the tool writes their captions to metadata.jsonl. It omits images that the safety checker rejects. To
continue after an interruption, run the same command again.
"""

import hashlib
import sys
from argparse import ArgumentParser

import torch
from diffusers import AutoPipelineForText2Image
from generation import add_options, check_dtype, check_settings, generator_of, in_batches, model_errors

from mmdiffperc.command_line import add_shared, bounded, one_line_errors, tool_parser
from mmdiffperc.files import write_whole
from mmdiffperc.generative.captions import read_captions
from mmdiffperc.inference.metadata import METADATA, metadata_line, visible_files
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.weights.architectures import arch_folder

SHIPPED = 'tiny-sd'
SETTINGS = 'make_images.json'
NOT_SETTINGS = ('input', 'out', 'batch_size', 'device')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='captions, as .txt or .jsonl')
    add_shared(parser, '--out', required=True)
    add_shared(parser, '--model', 'in diffusers format; tiny-sd selects the shipped model', required=True)
    add_shared(parser, '--num-steps', default=50)
    add_shared(parser, '--guidance-scale', default=7.5)
    add_shared(
        parser, '--size', "height and width; default: the model's", type=bounded(int, 8, 8192, multiple_of=8),
        nargs=2, metavar=('H', 'W'),
    )  # fmt: skip
    add_options(parser, batch_size=4)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    check_dtype(parser, args)
    return args


def load_pipeline(args):
    """Load the text-to-image pipeline."""
    folder = arch_folder(SHIPPED) if args.model == SHIPPED else args.model
    with model_errors(args.model):
        pipeline = AutoPipelineForText2Image.from_pretrained(folder, dtype=getattr(torch, args.dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(args.device)


def draw(args, names: dict[str, str]):
    """Draw and write the missing images, each with a separate random generator."""
    todo = [(index, name) for index, name in enumerate(names) if not (args.out / name).exists()]
    if not todo:
        return
    pipeline = load_pipeline(args)
    height, width = args.size or (None, None)
    for batch in in_batches(todo, args.batch_size, len(names) - len(todo), 'images'):
        result = pipeline(
            [names[name] for _, name in batch],
            height=height,
            width=width,
            num_inference_steps=args.num_steps,
            guidance_scale=args.guidance_scale,
            generator=[generator_of(args.seed, index) for index, _ in batch],
            output_type='np',
        )
        unsafe = getattr(result, 'nsfw_content_detected', None) or [False] * len(batch)
        for (_, name), image, is_unsafe in zip(batch, result.images, unsafe, strict=True):
            if not is_unsafe:
                write_whole(args.out / name, encode_png((image * 255).round().astype('uint8')))


def make_images(args) -> int:
    """Draw the missing images and write the metadata; return the number of images in it."""
    captions = read_captions(args.input)
    digest = hashlib.sha256('\n'.join(captions).encode()).hexdigest()
    settings = {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS}
    check_settings(args.out / SETTINGS, bool(visible_files(args.out, ('.png',))), captions=digest, **settings)
    names = {f'{index:06d}.png': caption for index, caption in enumerate(captions)}
    if not (args.out / METADATA).exists():
        draw(args, names)
        lines = [metadata_line(name, text) for name, text in names.items() if (args.out / name).exists()]
        if not lines:
            raise ValueError(f'{args.out}: the safety checker rejected all {len(names)} images')
        write_whole(args.out / METADATA, ''.join(lines).encode())
    return len((args.out / METADATA).read_text(encoding='utf-8').splitlines())


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    print(f'{args.out}: {make_images(args)} images, with {METADATA}.')


if __name__ == '__main__':
    sys.exit(main())
