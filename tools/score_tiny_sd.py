"""Score how often the samples of tiny-sd show what their captions name.

Each caption names one or two objects, such as "a photo of a red sphere and a blue box." The model draws one sample per
caption. A classifier then looks for the nouns, and for the pairs of colour and noun. The tool prints the shares of
images in which the classifier finds everything that the caption names:

- samples: the images that the model draws
- reconstructions: rendered scenes after the autoencoder of the model, with captions of their own objects. This is the
  ceiling for samples, because the same autoencoder decodes them
- scenes: the same scenes as rendered, which shows the limits of the classifier

"Chance" is the share with the captions of the other images.

The classifier learns from rendered scenes of domain a. Every second one is a reconstruction by the autoencoder of the
model, so that blur alone does not hide an object. A fixed blur would favour models whose blur resembles it. Each
threshold makes misses as frequent as false positives on held-out scenes and their reconstructions together.

The work directory keeps the rendered scenes and the classifier for the next run. The tool writes scores.json and
samples.png, which shows ten samples per row in the order of scores.json.

    python tools/score_tiny_sd.py mmdiffperc/assets/tiny-sd
    python tools/score_tiny_sd.py FOLDER --add-to-card --compare "first release=other/scores.json"

--add-to-card adds the shares to the README.md of the model, beside those of other models.
"""

import hashlib
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from tiny_sd.card import GUIDANCE_SCALE, add_scores
from tiny_sd.scene_classifier import (
    ANY,
    COLOURS,
    NOUNS,
    SIZE,
    SceneClassifier,
    Scenes,
    balanced_thresholds,
    error_rates,
    find,
    render_scenes,
    train_classifier,
)
from torchvision.utils import make_grid
from tqdm import tqdm

from mmdiffperc.files import brief, read_json, whole_file, write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.weights.architectures import arch_folder
from mmdiffperc_cli.options import (
    add_shared,
    bounded,
    existing_file,
    key_value,
    one_line_errors,
    positive,
    tool_parser,
)

# Some of the templates of the training captions. They stay the same, so that the scores of models are comparable.
TEMPLATES = ('a photo of {}.', 'a rendering of {}.', 'a picture of {}.', 'a scene with {}.')
SCENES_SEED = 20_261_129  # the scenes of pretrain_tiny_sd.py have other seeds
SAMPLES_PER_ROW = 10


def make_captions(number: int, seed: int) -> tuple[list[np.ndarray], list[str]]:
    """Draw random objects and captions that name them.

    Returns:
        tuple[list[np.ndarray], list[str]]: The objects of each caption, see :func:`choose_objects`, and the captions.
    """
    rng = np.random.default_rng(seed)
    everything = np.ones((len(NOUNS), 1 + len(COLOURS)), bool)
    objects = [choose_objects(everything, rng) for _ in range(number)]
    return objects, [describe(chosen, rng) for chosen in objects]


def choose_objects(shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choose one object, or two with different nouns.

    Args:
        shown (np.ndarray): Presence ``(nouns, 1 + colours)`` of each noun in any colour and in each colour, bool.
        rng (np.random.Generator): Source of randomness.

    Returns:
        np.ndarray: Indices ``(objects, 2)`` of the nouns and of their colours.
    """
    pairs = rng.permutation(np.argwhere(shown[:, ANY + 1 :]))
    others = pairs[pairs[:, 0] != pairs[0, 0]]
    return np.concatenate([pairs[:1], others[: rng.integers(2)]])


def describe(objects: np.ndarray, rng: np.random.Generator) -> str:
    """Write a caption that names the objects."""
    named = [(COLOURS[colour], NOUNS[noun]) for noun, colour in objects]
    phrases = [f'{"an" if colour[0] in "aeiou" else "a"} {colour} {noun}' for colour, noun in named]
    return str(rng.choice(TEMPLATES)).format(' and '.join(phrases))


def draw_samples(pipeline: StableDiffusionPipeline, captions: list[str], args) -> torch.Tensor:
    """Draw one sample per caption, ``(N, 3, SIZE, SIZE)`` uint8, whose noise does not depend on the batch size."""
    samples = []
    for first in tqdm(range(0, len(captions), args.batch_size), desc='samples', unit_scale=args.batch_size):
        batch = captions[first : first + args.batch_size]
        seeds = [args.seed * 1_000_003 + first + index for index in range(len(batch))]
        samples += pipeline(
            batch, height=SIZE, width=SIZE, num_inference_steps=args.num_steps, guidance_scale=args.guidance_scale,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds], output_type='pt',
        ).images  # fmt: skip
    return to_uint8(torch.stack(samples))


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Encode and decode images ``(N, 3, H, W)``, uint8."""
    decoded = []
    for batch in tqdm(images.split(32), desc='reconstructions', unit_scale=32):
        latents = vae.encode(batch.float() / 127.5 - 1).latent_dist.mode()
        decoded.append(to_uint8(vae.decode(latents).sample / 2 + 0.5))
    return torch.cat(decoded)


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    return (images.clamp(0, 1) * 255).round().byte()


def load_classifier(vae: AutoencoderKL, args) -> tuple[SceneClassifier, np.ndarray, dict]:
    """Load the classifier for the images of an autoencoder, or train and test it if the work directory has none.

    Returns:
        tuple[SceneClassifier, np.ndarray, dict]: The classifier, its thresholds ``(nouns, 1 + colours)``, and its
        results on test scenes.
    """
    path = args.work_dir / f'classifier-{fingerprint(vae, args.num_scenes, args.classifier_steps)}.pt'
    if not path.exists():
        classifier, thresholds, results = fit_classifier(vae, args)
        state = dict(weights=classifier.state_dict(), thresholds=torch.from_numpy(thresholds), results=results)
        with whole_file(path) as partial_file:
            torch.save(state, partial_file)
    state = torch.load(path, weights_only=True)
    classifier = SceneClassifier().eval()
    classifier.load_state_dict(state['weights'])
    return classifier, state['thresholds'].numpy(), state['results']


def fingerprint(vae: AutoencoderKL, *settings: int) -> str:
    """Return a name for a classifier: a hash of the autoencoder and of other settings."""
    digest = hashlib.sha256(repr(settings).encode())
    for weight in vae.state_dict().values():
        digest.update(weight.numpy().tobytes())
    return digest.hexdigest()[:8]


def fit_classifier(vae: AutoencoderKL, args) -> tuple[SceneClassifier, np.ndarray, dict]:
    """Train the classifier, choose its thresholds on validation scenes, and test it on others."""
    number = args.num_scenes // 8
    scenes = load_scenes(args.work_dir, args.num_scenes + 2 * number)
    validation, test, training = scenes[:number], scenes[number : 2 * number], scenes[2 * number :]
    classifier = train_classifier(half_reconstructed(vae, training), args.classifier_steps)
    images = torch.cat([validation.images, reconstruct(vae, validation.images)])
    thresholds = balanced_thresholds(classifier.scores(images), validation.shown.repeat(2, 1, 1).numpy())
    rng, shown = np.random.default_rng(SCENES_SEED), test.shown.numpy()
    objects = [choose_objects(one, rng) for one in shown]
    results = dict(images={}, classifier={})
    for name, images in dict(reconstructions=reconstruct(vae, test.images), scenes=test.images).items():
        found = find(classifier.scores(images), thresholds)
        results['images'][name] = shares_found(found, objects)
        results['classifier'][name] = error_rates(found, shown)
    return classifier, thresholds, results


def load_scenes(work_dir: Path, number: int) -> Scenes:
    """Load scenes from the work directory, or render them."""
    path = work_dir / f'scenes-{number}.pt'
    if not path.exists():
        with whole_file(path) as partial_file:
            torch.save(vars(render_scenes(number, SCENES_SEED)), partial_file)
    return Scenes(**torch.load(path, weights_only=True))


def half_reconstructed(vae: AutoencoderKL, scenes: Scenes) -> Scenes:
    """Replace every second image by its reconstruction."""
    images = scenes.images.clone()
    images[1::2] = reconstruct(vae, images[1::2])
    return replace(scenes, images=images)


def shares_found(found: np.ndarray, objects: list[np.ndarray]) -> dict[str, float]:
    """Return the shares of images in which all nouns, and all pairs, of a caption are found.

    Args:
        found (np.ndarray): Presence ``(N, nouns, 1 + colours)`` according to the classifier, bool.
        objects (list[np.ndarray]): The objects that the caption of each image names, see :func:`choose_objects`.

    Returns:
        dict[str, float]: Shares for ``'nouns'`` and ``'pairs'``, and under ``'nouns by chance'`` and
        ``'pairs by chance'`` the means over all captions of other images.
    """
    agree = dict(  # (captions, images)
        nouns=np.stack([found[:, nouns, ANY].all(axis=1) for nouns, _ in map(np.transpose, objects)]),
        pairs=np.stack([found[:, nouns, 1 + colours].all(axis=1) for nouns, colours in map(np.transpose, objects)]),
    )
    own = np.eye(len(objects), dtype=bool)
    return {
        name + suffix: float(matrix[chosen].mean())
        for name, matrix in agree.items()
        for suffix, chosen in (('', own), (' by chance', ~own))
    }


def missing(found: np.ndarray, objects: np.ndarray) -> list[str]:
    """List what a caption names but the classifier does not find: nouns, and pairs whose noun it finds."""
    absent = []
    for noun, colour in objects:
        if not found[noun, ANY]:
            absent.append(NOUNS[noun])
        elif not found[noun, 1 + colour]:
            absent.append(f'{COLOURS[colour]} {NOUNS[noun]}')
    return absent


def print_table(rows: dict[str, dict[str, float]]):
    """Print shares as a Markdown table in per cent."""
    columns = list(next(iter(rows.values())))
    print(f'\n| images | {" | ".join(columns)} |')
    print('|---' * (1 + len(columns)) + '|')
    for name, values in rows.items():
        print(f'| {name} | ' + ' | '.join(f'{100 * values[column]:.1f} %' for column in columns) + ' |')


def model_folder(text: str) -> Path:
    """Check that a value names a folder in diffusers format.

    Raises:
        ArgumentTypeError: The folder does not exist, or holds something else.
    """
    if not (Path(text) / 'model_index.json').is_file():
        raise ArgumentTypeError(f'expected a folder in diffusers format, with a model_index.json, got {brief(text)}')
    return Path(text)


def scores_file(text: str) -> tuple[str, Path]:
    """Split ``NAME=FILE``.

    Raises:
        ArgumentTypeError: The value has another form, or the file does not exist.
    """
    name, _, file = key_value(text).partition('=')
    return name, existing_file(file)


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(
        parser, 'weights', 'default: the shipped tiny-sd', nargs='?', type=model_folder,
        help='folder of a model in diffusers format',
    )  # fmt: skip
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/tiny-sd-scores'), metavar='FOLDER',
        help='folder for intermediate results (default: %(default)s)',
    )  # fmt: skip
    add_shared(parser, '--out', 'default: WORK_DIR')
    add_shared(parser, '--num-steps', default=50)
    add_shared(parser, '--guidance-scale', default=GUIDANCE_SCALE)
    add_shared(parser, '--batch-size', default=20)
    add_shared(parser, '--seed')
    for name, kind, default, text in (
        ('--num-captions', bounded(int, 2), 200, 'number of captions ('),
        ('--num-scenes', bounded(int, 16), 3200, 'number of toy scenes (for training; a quarter more are held out; '),
        ('--classifier-steps', positive, 1800, 'number of training steps of the classifier ('),
    ):
        parser.add_argument(name, type=kind, default=default, metavar='N', help=f'{text}default: %(default)s)')
    parser.add_argument('--add-to-card', action='store_true', help='add the shares to the README.md of the model')
    parser.add_argument(
        '--compare', nargs='+', type=scores_file, default=[], metavar='NAME=FILE',
        help='scores.json of other models, to show in the card beside this one',
    )  # fmt: skip
    return parser


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Draw samples, classify them, and write the results."""
    args = build_parser().parse_args(arguments)
    folder = args.weights or arch_folder('tiny-sd')
    pipeline = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    classifier, thresholds, results = load_classifier(pipeline.vae, args)
    objects, captions = make_captions(args.num_captions, args.seed)
    samples = draw_samples(pipeline, captions, args)
    found = find(classifier.scores(samples), thresholds)
    results['images'] = dict(samples=shares_found(found, objects)) | results['images']
    results['samples'] = [
        dict(caption=caption, missing=missing(*one)) for caption, *one in zip(captions, found, objects, strict=True)
    ]
    options = ('num_captions', 'num_steps', 'guidance_scale', 'seed', 'num_scenes', 'classifier_steps')
    results['options'] = {name: getattr(args, name) for name in options}
    out = args.out or args.work_dir
    grid = make_grid(samples, nrow=SAMPLES_PER_ROW, padding=0)  # (3, H, W)
    write_whole(out / 'samples.png', encode_png(grid.permute(1, 2, 0).numpy()))
    write_whole(out / 'scores.json', json.dumps(results, indent=2) + '\n')
    if args.add_to_card:
        add_scores(
            folder / 'README.md', {'this model': results} | {name: read_json(path) for name, path in args.compare}
        )
    print_table(results['images'])
    for kind in ('nouns', 'pairs'):
        print(f'\nSingle {kind}, by the classifier:')
        print_table({name: rates[kind] for name, rates in results['classifier'].items()})


if __name__ == '__main__':
    sys.exit(main())
