"""Draw an image for each caption with any text-to-image model in diffusers' format.

    python projects/dmp/tools/make_images.py captions.jsonl --out bedrooms --model CompVis/stable-diffusion-v1-4
    python projects/dmp/tools/make_images.py captions.txt --out drawn --model tiny-sd
    python projects/dmp/tools/make_images.py --text 'a bedroom' --per-caption 8 --out drawn --model tiny-sd
    torchrun --nproc-per-node 8 projects/dmp/tools/make_images.py captions.jsonl --out bedrooms --model MODEL

The captions are the lines of a text file, or "text" in each line of a .jsonl file. The images are numbered. When all
images are drawn, the tool writes their captions to metadata.jsonl. To continue after an interruption, run the same
command again.

If the model has a safety checker, it blackens the images that it rejects. The tool leaves these images out and marks
them with empty files, such as 000007.blackened. With --keep-blackened, it keeps the black images as well.
"""

import hashlib
import sys
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoPipelineForText2Image, DDIMScheduler, PNDMScheduler
from generation import add_options, generator_of, model_errors, parse_options, settings_of

from mmdiffperc.files import write_whole
from mmdiffperc.generative.captions import read_captions
from mmdiffperc.generative.data.target_files import ARRAY_NAME, decode_target
from mmdiffperc.inference.batched_lines import check_settings, in_batches, shard
from mmdiffperc.inference.metadata import METADATA, metadata_line, visible_files
from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc.weights.architectures import arch_folder
from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, tool_parser

SHIPPED = 'tiny-sd'
SETTINGS = 'make_images.json'
SAMPLERS = {'ddim': (DDIMScheduler, {}), 'plms': (PNDMScheduler, dict(skip_prk_steps=True))}
BLACKENED = '.blackened'


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', nargs='?', help='captions, as .txt or .jsonl')
    add_shared(parser, '--text', 'the only caption, instead of INPUT')
    add_shared(parser, '--out', required=True)
    add_shared(parser, '--model', 'in diffusers format; tiny-sd selects the shipped model', required=True)
    parser.add_argument(
        '--per-caption', type=positive, default=1, metavar='N',
        help='number of images per caption (default: %(default)s)',
    )  # fmt: skip
    parser.add_argument(
        '--sampler', choices=(*SAMPLERS, 'model'), default='ddim',
        help="sampler; model selects the model's, which a model without a noise schedule of betas needs (default: "
        '%(default)s)',
    )  # fmt: skip
    add_shared(parser, '--num-steps', default=50)
    add_shared(parser, '--guidance-scale', default=7.5)
    add_shared(
        parser, '--size', "height and width; default: the model's", type=bounded(int, 8, 8192, multiple_of=8),
        nargs=2, metavar=('H', 'W'),
    )  # fmt: skip
    parser.add_argument(
        '--keep-blackened', action='store_true', help='keep the images that the safety checker has blackened'
    )
    noise = parser.add_mutually_exclusive_group()
    noise.add_argument(
        '--save-noise', type=Path, metavar='FOLDER', help='write the initial noise of each image to this folder, as npz'
    )
    noise.add_argument(
        '--read-noise', type=Path, metavar='FOLDER',
        help='start from the noise in this folder, one npz for each image, in the order of their names',
    )  # fmt: skip
    parser.add_argument(
        '--save-latents', type=Path, metavar='FOLDER',
        help='write the latents of each image to this folder, as npz, for --image-latents of tools/predict.py',
    )  # fmt: skip
    add_options(parser, batch_size=4)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parse_options(parser, arguments)
    if (args.input is None) == (args.text is None):
        parser.error('expected either INPUT, a file of captions, or --text')
    return args


def load_pipeline(args):
    """Load the text-to-image pipeline with its sampler.

    Raises:
        ValueError: The model cannot be sampled with ``--sampler``.
    """
    folder = arch_folder(SHIPPED) if args.model == SHIPPED else args.model
    with model_errors(args.model):
        pipeline = AutoPipelineForText2Image.from_pretrained(folder, dtype=getattr(torch, args.dtype))
    if args.sampler in SAMPLERS:
        (sampler, options), scheduler = SAMPLERS[args.sampler], pipeline.scheduler
        if not isinstance(scheduler, sampler) and sampler not in scheduler.compatibles:
            raise ValueError(
                f'--sampler {args.sampler}: expected a model that it can sample, but {args.model} has a '
                f'{type(scheduler).__name__}; use --sampler model'
            )
        pipeline.scheduler = sampler.from_config(scheduler.config, **options)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(args.device)


def noise_files(args, number: int) -> list[Path]:
    """Return the files in ``--read-noise``, or an empty list without this option.

    Raises:
        ValueError: The folder does not contain a file for each of ``number`` images.
    """
    files = visible_files(args.read_noise, ('.npz',)) if args.read_noise else []
    if args.read_noise and len(files) < number:
        raise ValueError(
            f'--read-noise {args.read_noise}: expected an npz for each of {number} images, got {len(files)}'
        )
    return files


def noise_shape(pipeline, size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Return the shape ``(C, h, w)`` of the latents.

    Raises:
        ValueError: The model has no U-Net.
    """
    if not hasattr(pipeline, 'unet'):
        raise ValueError(f'--save-noise and --read-noise need a model with a U-Net, got a {type(pipeline).__name__}')
    config = pipeline.unet.config
    sides = (side // pipeline.vae_scale_factor for side in size) if size else [config.sample_size] * 2
    return (config.in_channels, *sides)


def read_noise(file: Path, shape: tuple[int, int, int]) -> torch.Tensor:
    """Read initial noise ``(C, h, w)``, as the official code of DMP stores it.

    Raises:
        ValueError: The file is damaged, or the noise has another shape.
    """
    noise = decode_target(file.read_bytes(), str(file))
    if noise.shape != shape:
        raise ValueError(f'{file}: expected noise {shape} for this model and --size, got {noise.shape}')
    return torch.from_numpy(noise.astype(np.float32))


def initial_noise(args, pipeline, files: list[Path], batch, generators) -> torch.Tensor | None:
    """Read or draw the initial noise ``(B, C, h, w)`` of a batch, or return None if the pipeline can draw it."""
    if not (args.read_noise or args.save_noise):
        return None
    shape = noise_shape(pipeline, args.size)
    if files:
        noise = torch.stack([read_noise(files[index], shape) for index, _ in batch])
    else:  # the same numbers that the pipeline would draw
        noise = torch.stack([torch.randn(shape, generator=one, dtype=pipeline.dtype) for one in generators])
        write_arrays(args.save_noise, [name for _, name in batch], noise)
    return noise.to(pipeline.device, pipeline.dtype)


def write_arrays(folder: Path, names: list[str], arrays: torch.Tensor):
    """Write noise or latents ``(B, C, h, w)`` as npz files named after the images."""
    for name, array in zip(names, arrays.float().cpu().numpy(), strict=True):
        write_whole((folder / name).with_suffix('.npz'), encode_npz(**{ARRAY_NAME: array}))


def draw(args, names: dict[str, str]):
    """Draw and write the missing images of this process, each with its own random generator."""
    files, items = noise_files(args, len(names)), list(enumerate(names))
    own = [items[index] for index in shard(args, len(names))]
    todo = [(index, name) for index, name in own if not is_drawn(args, name)]
    if not todo:
        return
    pipeline = load_pipeline(args)
    height, width = args.size or (None, None)
    last_step = {}  # the latents that become images

    def keep(pipeline, step, timestep, tensors):
        last_step.update(tensors)
        return {}

    for batch in in_batches(todo, args.batch_size, len(own) - len(todo), 'images'):
        generators = [generator_of(args.seed, index) for index, _ in batch]
        result = pipeline(
            [names[name] for _, name in batch],
            height=height,
            width=width,
            num_inference_steps=args.num_steps,
            guidance_scale=args.guidance_scale,
            generator=generators,
            latents=initial_noise(args, pipeline, files, batch, generators),
            output_type='np',
            **dict(callback_on_step_end=keep) if args.save_latents else {},
        )
        if args.save_latents:
            write_arrays(args.save_latents, [name for _, name in batch], last_step['latents'])
        unsafe = getattr(result, 'nsfw_content_detected', None) or [False] * len(batch)
        for (_, name), image, is_unsafe in zip(batch, result.images, unsafe, strict=True):
            if is_unsafe:
                write_whole(blackened_file(args, name), b'')
            if args.keep_blackened or not is_unsafe:
                write_whole(args.out / name, encode_png((image * 255).round().astype('uint8')))


def blackened_file(args, name: str) -> Path:
    """Return the empty file that marks an image as blackened by the safety checker."""
    return (args.out / name).with_suffix(BLACKENED)


def is_drawn(args, name: str) -> bool:
    """Return whether an image has been drawn, and kept or left out."""
    return (args.out / name).exists() or (not args.keep_blackened and blackened_file(args, name).exists())


def make_images(args) -> str:
    """Draw the missing images of this process, and write the metadata when all images are drawn.

    Returns:
        str: What the folder contains.

    Raises:
        ValueError: The safety checker rejects all images.
    """
    captions = ([args.text] if args.text else read_captions(args.input)) * args.per_caption
    digest = hashlib.sha256('\n'.join(captions).encode()).hexdigest()
    begun = bool(visible_files(args.out, ('.png', BLACKENED)))
    check_settings(args.out / SETTINGS, begun, **settings_of(args) | dict(captions=digest))
    names = {f'{index:06d}.png': caption for index, caption in enumerate(captions)}
    if not (args.out / METADATA).exists():
        draw(args, names)
        if not all(is_drawn(args, name) for name in names):
            return 'images of this process done, others missing'
        lines = [metadata_line(name, text) for name, text in names.items() if (args.out / name).exists()]
        if not lines:
            raise ValueError(f'{args.out}: the safety checker rejected all {len(names)} images')
        write_whole(args.out / METADATA, ''.join(lines))
    number = len((args.out / METADATA).read_text(encoding='utf-8').splitlines())
    kept = 'kept' if args.keep_blackened else 'left out'
    blackened = len(visible_files(args.out, (BLACKENED,)))
    return f'{number} images, with {METADATA}; {blackened} blackened by the safety checker ({kept})'


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    print(f'{args.out}: {make_images(args)}.')


if __name__ == '__main__':
    sys.exit(main())
