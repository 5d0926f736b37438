"""Draw images of captions, with any text-to-image model in diffusers' format.

    python projects/dmp/tools/make_images.py captions.jsonl data/bedrooms/train --model CompVis/stable-diffusion-v1-4
    python projects/dmp/tools/make_images.py captions.txt drawn --model tiny-sd

Captions are the lines of a text file, or "text" in each line of a .jsonl. Images are numbered; metadata.jsonl, with
their captions, appears when all are drawn. Images that the model's safety checker has blackened are left out. Run it
again after an interruption and it continues.
"""

import argparse
import hashlib
import sys
from pathlib import Path

import torch
from diffusers import AutoPipelineForText2Image
from generation import (
    add_options,
    check_settings,
    generator_of,
    in_batches,
    model_errors,
    parse_options,
    read_captions,
)

from mmdiffperc.command_line import bounded, guidance_scale, one_line_errors, positive
from mmdiffperc.files import write_whole
from mmdiffperc.inference.metadata import METADATA, metadata_line, visible_files
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.weights.stable_diffusion import arch_folder

SHIPPED = 'tiny-sd'
SETTINGS = 'make_images.json'


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('captions', type=Path, help='.txt or .jsonl')
    parser.add_argument('out', type=Path, help='folder of images')
    parser.add_argument('--model', required=True, help='hub id, diffusers folder, or tiny-sd, which is shipped')
    parser.add_argument('--steps', type=positive, default=50, metavar='N', help='of denoising (default: %(default)s)')
    parser.add_argument('--guidance', type=guidance_scale, default=7.5, metavar='SCALE', help='(default: %(default)s)')
    parser.add_argument(
        '--size',
        type=bounded(int, 8, 8192, multiple_of=8),
        nargs=2,
        metavar=('HEIGHT', 'WIDTH'),
        help='in pixels (default: that of the model)',
    )
    add_options(parser, batch_size=4)
    return parse_options(parser, arguments)


def load_pipeline(args):
    """Load the text-to-image pipeline, without its progress bar."""
    folder = arch_folder(SHIPPED) if args.model == SHIPPED else args.model
    with model_errors(args.model):
        pipeline = AutoPipelineForText2Image.from_pretrained(folder, dtype=getattr(torch, args.dtype))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(args.device)


def draw(args, names: dict[str, str]):
    """Draw the images that are not there yet, and write them; each has a generator of its own."""
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
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            generator=[generator_of(args.seed, index) for index, _ in batch],
            output_type='np',
        )
        unsafe = getattr(result, 'nsfw_content_detected', None) or [False] * len(batch)
        for (_, name), image, is_unsafe in zip(batch, result.images, unsafe, strict=True):
            if not is_unsafe:
                write_whole(args.out / name, encode_png((image * 255).round().astype('uint8')))


def make_images(args) -> int:
    """Draw what is missing and write the metadata; return the number of images in it.

    Raises:
        FileExistsError: The folder holds images of other captions or settings.
        OSError: The captions or the model are not there.
        ValueError: There are no captions, or none of the images is left by the safety checker.
    """
    captions = read_captions(args.captions)
    digest = hashlib.sha256('\n'.join(captions).encode()).hexdigest()
    settings = dict(model=args.model, seed=args.seed, steps=args.steps, guidance=args.guidance, size=args.size)
    begun = bool(visible_files(args.out, ('.png',)))
    check_settings(args.out / SETTINGS, begun, captions=digest, dtype=args.dtype, **settings)
    names = {f'{index:06d}.png': caption for index, caption in enumerate(captions)}
    if not (args.out / METADATA).exists():
        draw(args, names)
        lines = [metadata_line(name, text) for name, text in names.items() if (args.out / name).exists()]
        if not lines:
            raise ValueError(f'{args.out}: the safety checker left none of {len(names)} images')
        write_whole(args.out / METADATA, ''.join(lines).encode())
    return len((args.out / METADATA).read_text(encoding='utf-8').splitlines())


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    print(f'{args.out}: {make_images(args)} images, with {METADATA}.')


if __name__ == '__main__':
    sys.exit(main())
