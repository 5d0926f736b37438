"""Predict normals, depth, albedo, shading or segmentation of your own images.

    python projects/dmp/tools/predict.py CONFIG photo.jpg --checkpoint iter_50000.pth --prompt 'a bedroom'
    python projects/dmp/tools/predict.py CONFIG FOLDER --lora lora_iter_50000 --prompts captions.txt
    python projects/dmp/tools/predict.py CONFIG FOLDER --lora FILE --no-prompts --steps 3 --precision fp16
    python projects/dmp/tools/predict.py CONFIG prompts.txt --lora FILE

With --lora alone the Stable Diffusion of the config lies under the adapter. Captions are those of the metadata.jsonl in
the folder, unless others are given. Given prompts instead of images, it draws an image of each first, in OUT/images.

With --batch-size N, N images at a time are read, and those that have one size in the model go through it together.

For every image two files, named after it: NAME.npz, whose array x is float32, colours (height, width, 3) in [0, 1] or
one channel (height, width) in the unit of the training; and NAME.png, to look at, of 8 bits, or 16 for one channel.
What is there already is left as it is, so that the same command continues where it was interrupted. Images that cannot
be read are reported at the end.
"""

import argparse
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from generation import in_batches
from mmengine.config import Config

from mmdiffperc.command_line import config_file, device, guidance_scale, image_side, one_line_errors, positive, seed
from mmdiffperc.files import write_whole
from mmdiffperc.generative import DeterministicDiffusion, TargetInferencer
from mmdiffperc.generative.captions import MISSING
from mmdiffperc.generative.deterministic_process import SAMPLERS, load_schedule
from mmdiffperc.generative.drawing import draw_image
from mmdiffperc.generative.prediction_files import prediction_files, to_picture, write_prediction
from mmdiffperc.generative.target_inferencer import PRECISIONS
from mmdiffperc.inference import TolerantReader
from mmdiffperc.inference.image_files import find_images, read_captions, read_prompts
from mmdiffperc.inference.writers import encode_png

PROMPTS_SUFFIX = '.txt'


class Job(NamedTuple):
    """An image, what it shows, and what its predictions are called, without suffix."""

    image: Path
    caption: str | None
    stem: Path


def parse_args(arguments=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=config_file, help='config of a DeterministicDiffusion')
    parser.add_argument('input', type=Path, help='image, folder of images, or .txt with a prompt in each line')
    parser.add_argument('--checkpoint', help='checkpoint of a training')
    parser.add_argument('--lora', help='adapter: a file, or the folder that holds it')
    parser.add_argument(
        '--out', type=Path, default=Path('predictions'), metavar='FOLDER', help='(default: %(default)s)'
    )
    told = parser.add_mutually_exclusive_group()
    told.add_argument('--prompt', metavar='TEXT', help='what the image shows, or each of them')
    told.add_argument('--prompts', metavar='FILE', help='what each shows, a line for each in the order of names')
    told.add_argument('--no-prompts', action='store_true', help='for an adapter that was trained without prompts')
    parser.add_argument(
        '--steps', type=positive, metavar='N', help='steps of the process (default: those of the config)'
    )
    parser.add_argument('--guidance', type=guidance_scale, metavar='SCALE', help='(default: that of the config)')
    parser.add_argument('--sampler', choices=SAMPLERS, help='(default: that of the config)')
    parser.add_argument(
        '--size', type=image_side, metavar='PIXELS', help='shorter side in the model (default: as in testing)'
    )
    parser.add_argument('--save-steps', action='store_true', help='write OUT/steps/NAME/TIMESTEP.png after each step')
    parser.add_argument('--batch-size', type=positive, default=1, metavar='N', help='(default: %(default)s)')
    parser.add_argument('--precision', choices=PRECISIONS, default='fp32', help='(default: %(default)s)')
    parser.add_argument('--seed', type=seed, default=0, help='for drawing (default: %(default)s)')
    parser.add_argument('--device', type=device, default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args(arguments)
    if args.save_steps and args.batch_size > 1:
        parser.error('--save-steps shows images one by one: leave --batch-size out')
    return args


def find_jobs(args) -> list[Job]:
    """Return the jobs that the command line asks for.

    Raises:
        OSError: There is no such file.
        ValueError: There is no image, prompt or caption, or an image would be written over.
    """
    if args.input.suffix == PROMPTS_SUFFIX:
        captions = read_prompts(args.input)
        images = [args.out / 'images' / f'{index:05}.png' for index in range(len(captions))]
    else:
        images, captions = zip(*find_images(args.input), strict=True)
    if args.prompts:
        captions = read_captions(args.prompts, len(images))
    if args.prompt:
        captions = [args.prompt] * len(images)
    root = args.input if args.input.is_dir() else images[0].parent
    stems = [args.out / image.relative_to(root).with_suffix('') for image in images]
    check_kept(images, stems)
    return [Job(*parts) for parts in zip(images, captions, stems, strict=True)]


def check_kept(images: Sequence[Path], stems: Sequence[Path]):
    """Check that no image is written over.

    Raises:
        ValueError: One would be.
    """
    written = {file.resolve() for stem in stems for file in prediction_files(stem)}
    for image in images:
        if image.resolve() in written:
            raise ValueError(f'{image} would be written over: give another folder as --out')


def model_options(args) -> dict:
    """Return the arguments of the model in which the command line differs from the config."""
    given = dict(num_steps=args.steps, guidance_scale=args.guidance, sampler=args.sampler)
    given = {name: value for name, value in given.items() if value is not None}
    return dict(use_prompts=False, guidance_scale=1) | given if args.no_prompts else given


def steps_folder(job: Job) -> Path:
    """Return where the pictures after each step go."""
    return job.stem.parent / 'steps' / job.stem.name


def is_done(job: Job, save_steps: bool) -> bool:
    """Return whether all files of an image are there."""
    return all(file.is_file() for file in prediction_files(job.stem)) and (not save_steps or steps_folder(job).is_dir())


def predict(inferencer: TargetInferencer, jobs: list[Job], images: list[np.ndarray]):
    """Predict and write the files of some images."""
    captions = [job.caption for job in jobs] if inferencer.model.use_prompts else None
    targets = inferencer.predict_batch(images, captions)
    for job, target in zip(jobs, targets, strict=True):
        write_prediction(target, job.stem, inferencer.model.codec)


def predict_steps(inferencer: TargetInferencer, job: Job, image: np.ndarray):
    """Predict and write the files of an image, after each step and at the end."""
    codec = inferencer.model.codec
    timesteps = inferencer.model.process.timesteps(inferencer.model.num_steps)
    for timestep, target in zip(timesteps, inferencer.trace(image, job.caption), strict=True):
        write_whole(steps_folder(job) / f'{timestep:03}.png', encode_png(to_picture(target, codec)))
    write_prediction(target, job.stem, codec)


def check_captions(model: DeterministicDiffusion, jobs: list[Job]):
    """Check that each image has a caption, if the model wants one.

    Raises:
        ValueError: One has none.
    """
    if model.use_prompts and (lacking := [job.image for job in jobs if job.caption is None]):
        advice = '--prompt, --prompts, or a folder with metadata.jsonl'
        raise ValueError(MISSING.format(f'{lacking[0]} has none ({advice})'))


def draw_missing(model: DeterministicDiffusion, arch: str, jobs: list[Job], seed: int):
    """Draw the images that are not there yet."""
    for job in jobs:
        if not job.image.is_file():
            drawn = draw_image(model, load_schedule(arch), job.caption, seed + int(job.image.stem))
            write_whole(job.image, encode_png(drawn))


def run(args, jobs: list[Job], num_done: int):
    """Run the remaining jobs; ``num_done`` are done already.

    Raises:
        ValueError: See :class:`TargetInferencer`; a caption is missing; an image cannot be read, and the others are
            done.
    """
    config = Config.fromfile(args.config)
    inferencer = TargetInferencer(
        config, args.checkpoint, args.lora, args.size, args.precision, args.device, **model_options(args)
    )
    check_captions(inferencer.model, jobs)
    with TolerantReader(inferencer.read) as read:
        for batch in in_batches(jobs, args.batch_size, num_done, 'images'):
            if args.input.suffix == PROMPTS_SUFFIX:
                draw_missing(inferencer.model, config.model.arch, batch, args.seed)
            readable = [(job, image) for job in batch if (image := read(job.image)) is not None]
            if args.save_steps:
                for job, image in readable:
                    predict_steps(inferencer, job, image)
            elif readable:
                predict(inferencer, *zip(*readable, strict=True))


@one_line_errors(ValueError, TypeError, OSError, RuntimeError, pickle.UnpicklingError)
def main(arguments=None):
    """Run the tool, with these arguments instead of the command line's if there are any."""
    args = parse_args(arguments)
    jobs = find_jobs(args)
    missing = [job for job in jobs if not is_done(job, args.save_steps)]
    if missing:
        run(args, missing, len(jobs) - len(missing))
    print(f'{args.out}: predictions written: {len(missing)}; there before: {len(jobs) - len(missing)}')


if __name__ == '__main__':
    sys.exit(main())
