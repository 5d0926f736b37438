"""Pre-train tiny-sd, a complete Stable Diffusion in miniature, on captioned toy scenes.

The six stages write these files and folders to ``WORK_DIR``::

    scenes       scenes/*.npz    renders toy scenes of all domains and writes captions for them
    autoencoder  autoencoder.pt  trains the AutoencoderKL on crops, with L1, MSE and a small KL loss
    tokenizer    tokenizer/      learns CLIP's byte-level BPE from the captions
    text         text.pt         trains the CLIPTextModel with CLIP's objective, which matches captions and images
    unet         unet.pt         trains the UNet2DConditionModel and the text encoder with the objective of Stable
                                 Diffusion 2.x: scaled-linear DDPM, velocity prediction, captions dropped at random
    export       tiny-sd/        writes the diffusers folder in half precision, with a model card and sample images

To resume an interrupted run, run the same command again. Files appear when they are complete. If a file is damaged, the
tool reports an error. The file log.jsonl keeps every logged loss.

With --tiny-autoencoder-steps, the tool also trains an AutoencoderTiny, the architecture of TAESD, to imitate the
autoencoder. It writes the folder WORK_DIR/tiny-autoencoder, which is no part of the export.

With --time-limit, training stops in time and continues in the next run. If the limit passes while the U-Net trains, the
tool exports the U-Net that it has. --start-from continues from an export in another work directory; a part with 0 steps
stays as it is.

    python tools/pretrain_tiny_sd.py --out mmdiffperc/assets/tiny-sd
    python tools/pretrain_tiny_sd.py --time-limit 120 --dtype bfloat16
    python tools/pretrain_tiny_sd.py --start-from mmdiffperc/assets/tiny-sd --autoencoder-steps 0 --text-steps 0 \\
        --device cuda --dtype bfloat16 --unet-batch-size 1024 --workers 16 --time-limit 8
    python tools/pretrain_tiny_sd.py --cfg-options unet.block_out_channels=64,96,96,96 autoencoder.latent_channels=4
"""

import json
import math
import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import compute_snr
from mmengine.config import Config
from tiny_sd.autoencoders import encode_all, measure_autoencoder, train_autoencoder, train_tiny_autoencoder
from tiny_sd.card import SHOWN_LOSSES, draw, write_card
from tiny_sd.training import PARTS, Run, fit, is_continued, read, start_of
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mmdiffperc.files import whole_file, whole_folder, write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.processes import end_with_parent
from mmdiffperc.toy_scenes import caption, render, sample_scene
from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, positive_float, tool_parser

SIZE = 128  # pixels; the latents are 16 x 16
CHUNK = 500  # scenes per file
CAPTIONS_PER_SCENE = 8
HELD_OUT = 64  # scenes of each domain that no training sees
MAX_LENGTH = 77
BOS, EOS = '<|startoftext|>', '<|endoftext|>'

# What --cfg-options can change.
RECIPE = dict(
    # Share of each domain. A prior trained on images from the web has seen many kinds of images, too.
    domains=dict(a=0.4, b=0.2, c=0.2, d=0.2),
    autoencoder=dict(
        block_out_channels=(16, 32, 64, 96),
        down_block_types=('DownEncoderBlock2D',) * 4,
        up_block_types=('UpDecoderBlock2D',) * 4,
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        sample_size=SIZE,
    ),
    tiny_autoencoder=dict(
        encoder_block_out_channels=(16,) * 4,
        decoder_block_out_channels=(16,) * 4,
        num_encoder_blocks=(1, 2, 2, 2),
        num_decoder_blocks=(2, 2, 2, 1),
    ),
    text_encoder=dict(
        hidden_size=96,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=MAX_LENGTH,
        projection_dim=96,
    ),
    unet=dict(
        sample_size=SIZE // 8,
        block_out_channels=(64, 96, 128, 128),
        down_block_types=('CrossAttnDownBlock2D',) * 3 + ('DownBlock2D',),
        up_block_types=('UpBlock2D',) + ('CrossAttnUpBlock2D',) * 3,
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=16,
    ),
    scheduler=dict(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule='scaled_linear',
        clip_sample=False,
        steps_offset=1,
        # Noise prediction gives little weight to errors at high noise levels, where captions matter most.
        prediction_type='v_prediction',
    ),
)
# Default and help of the options, by type.
OPTIONS = {
    bounded(int, 0): {
        '--autoencoder-steps': (24000, 'number of training steps of the autoencoder'),
        '--tiny-autoencoder-steps': (0, 'number of training steps of an AutoencoderTiny'),
        '--text-steps': (3000, 'number of training steps of the text encoder'),
        '--unet-steps': (40000, 'number of training steps of the U-Net'),
    },
    positive: {
        '--num-scenes': (30000, 'number of toy scenes'),
        '--autoencoder-batch-size': (8, 'batch size of the autoencoder'),
        '--text-batch-size': (128, 'batch size of the text encoder'),
        '--unet-batch-size': (64, 'batch size of the U-Net'),
        '--timestep-draws': (1, 'number of random timesteps of which the U-Net trains the noisiest'),
        '--log-every': (50, 'number of steps between log entries'),
    },
    positive_float: {
        '--autoencoder-lr': (2e-3, 'peak learning rate of the autoencoder'),
        '--lr': (8e-4, 'peak learning rate of the U-Net and the text encoder'),
    },
    bounded(float, 0, 1): {
        '--ema-decay': (0.999, 'decay of the moving average of the weights, which is exported'),
        '--decay': (0.2, 'share of the steps at the end over which the learning rate falls to zero'),
    },
    bounded(int, 3, MAX_LENGTH): {'--train-tokens': (48, 'number of tokens to which captions are padded')},
    bounded(float, 0): {'--save-every': (120, 'seconds between saved training states')},
}


def load_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(path) as file:
        return file['images'], file['captions']


def render_scenes(task: tuple[Path, list[int], int, dict[str, float]]):
    """Render the scenes with these indices, each in a random domain, and write them and their captions to a file."""
    path, indices, seed, shares = task
    images, captions = [], []
    for index in indices:
        rng = np.random.default_rng([seed, index])
        rendering = render(sample_scene(rng, rng.choice(list(shares), p=list(shares.values()))), SIZE)
        images.append(rendering.image)
        captions.append([caption(rendering, rng) for _ in range(CAPTIONS_PER_SCENE)])
    with whole_file(path) as partial_file:
        np.savez(partial_file, images=np.stack(images), captions=np.array(captions))


def make_scenes(run: Run, recipe: Config, args: Namespace) -> tuple[torch.Tensor, np.ndarray]:
    """Return images ``(N, 3, SIZE, SIZE)`` uint8 and captions ``(N, CAPTIONS_PER_SCENE)``; render what is missing.

    The held-out scenes come last: ``HELD_OUT`` of each domain, in the order of the recipe.
    """
    firsts = range(0, args.num_scenes, CHUNK)
    tasks = [
        (run.dir / f'scenes/{first:06d}.npz', range(first, first + CHUNK), args.seed, dict(recipe.domains))
        for first in firsts
    ]
    tasks += [
        (run.dir / f'scenes/held-out-{domain}.npz', range(HELD_OUT), args.seed + 2**32, {domain: 1.0})
        for domain in recipe.domains
    ]
    if missing := [task for task in tasks if not task[0].exists()]:
        with Pool(args.workers, initializer=end_with_parent) as pool:
            list(tqdm(pool.imap(render_scenes, missing), desc='scenes', total=len(missing), unit_scale=CHUNK))
    images, captions = zip(*(read(task[0], load_arrays) for task in tasks), strict=True)
    return torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2).contiguous(), np.concatenate(captions)


def train_tokenizer(run: Run, captions: np.ndarray, args: Namespace) -> CLIPTokenizer:
    """Learn the merges of CLIP's tokenizer from the captions. The vocabulary has the same order as CLIP's.

    The vocabulary begins with all bytes, first alone and then at the end of a word, so that any text can be tokenized.
    It ends with the two special tokens.
    """
    folder = args.start_from / 'tokenizer' if is_continued(args, 'text') else run.dir / 'tokenizer'
    if not folder.exists():
        letters = sorted(ByteLevel.alphabet())
        letters += [f'{letter}</w>' for letter in letters]
        untrained = CLIPTokenizer(vocab=number(letters + [BOS, EOS]), merges=[])
        trained = untrained.train_new_from_iterator(captions.ravel().tolist(), vocab_size=1024)
        merges = [tuple(pair) for pair in json.loads(trained.backend_tokenizer.to_str())['model']['merges']]
        merged = [''.join(pair) for pair in merges]
        with whole_folder(folder) as partial_folder:
            CLIPTokenizer(vocab=number(letters + merged + [BOS, EOS]), merges=merges).save_pretrained(partial_folder)
    return read(folder, partial(CLIPTokenizer.from_pretrained, model_max_length=MAX_LENGTH))


def number(tokens: list[str]) -> dict[str, int]:
    return {token: index for index, token in enumerate(tokens)}


def build_text_encoder(tokenizer: CLIPTokenizer, settings: dict) -> CLIPTextModel:
    tokens = dict(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **tokens, **settings))


def tokenize(tokenizer: CLIPTokenizer, captions: np.ndarray, args: Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens of all captions ``(N, CAPTIONS_PER_SCENE, length)`` and of an empty caption ``(length,)``."""
    options = dict(max_length=args.train_tokens, padding='max_length', truncation=True, return_tensors='pt')
    ids = tokenizer(captions.ravel().tolist(), **options).input_ids.view(*captions.shape, -1)
    return ids.to(args.device), tokenizer('', **options).input_ids[0].to(args.device)


class ImageTower(nn.Sequential):
    """A small image encoder for CLIP's objective, which maps latents ``(B, channels, h, w)`` to embeddings ``(B, C)``.

    Args:
        channels (int): Number of channels of the latents.
        width (int): Number of channels C of the embeddings.
    """

    def __init__(self, channels: int, width: int):
        layers = []
        for out_channels in (64, 96, 128):
            layers += [
                nn.Conv2d(channels, out_channels, 3, stride=2, padding=1),
                nn.GroupNorm(8, out_channels),
                nn.SiLU(),
            ]
            channels = out_channels
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels * (SIZE // 64) ** 2, width))


def train_text_encoder(
    run: Run, tokenizer: CLIPTokenizer, moments: torch.Tensor, ids: torch.Tensor, recipe: Config, args: Namespace
) -> tuple[CLIPTextModel, bool]:
    """Train the text encoder with CLIP's contrastive loss between the captions and images of a batch.

    Return it, and whether all steps are done.
    """
    text_encoder = start_of(args, 'text', CLIPTextModel) or build_text_encoder(tokenizer, recipe.text_encoder)
    channels = recipe.autoencoder.latent_channels
    tower = ImageTower(channels, text_encoder.config.projection_dim)
    model = nn.ModuleDict(dict(text_encoder=text_encoder, image=tower))
    model.register_parameter('log_scale', nn.Parameter(torch.tensor(math.log(10.0))))
    target = torch.arange(args.text_batch_size, device=args.device)

    def loss_of(indices, generator):
        captions = ids[indices, random_captions(len(indices), generator)]
        images = F.normalize(model['image'](moments[indices, :channels]).float())
        texts = F.normalize(model['text_encoder'](captions).pooler_output.float())
        logits = model.log_scale.exp().clamp(max=100) * texts @ images.T
        hits = (logits.argmax(dim=1) == target).float().mean()
        return dict(loss=(F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2, hits=hits)

    model, done = fit(
        run, 'text', model, loss_of, args.num_scenes, args, steps=args.text_steps, batch_size=args.text_batch_size,
        lr=1e-3, continued=is_continued(args, 'text'),
    )  # fmt: skip
    return model['text_encoder'], done


def random_captions(batch_size: int, generator: torch.Generator) -> torch.Tensor:
    """Return the index of a random caption for each image of a batch."""
    return torch.randint(CAPTIONS_PER_SCENE, (batch_size,), generator=generator, device=generator.device)


def velocity_loss(
    unet: Callable, text_encoder: CLIPTextModel, latents: torch.Tensor, tokens: torch.Tensor, timesteps: torch.Tensor,
    noise: torch.Tensor, scheduler: DDPMScheduler,
) -> torch.Tensor:  # fmt: skip
    """Return the squared error ``(B,)`` of the predicted velocity."""
    context = text_encoder(tokens).last_hidden_state
    noisy = scheduler.add_noise(latents, noise, timesteps)
    prediction = unet(noisy, timesteps, context).sample.float()
    target = scheduler.get_velocity(latents, noise, timesteps)
    return F.mse_loss(prediction, target, reduction='none').mean(dim=(1, 2, 3))


def train_unet(
    run: Run, vae: AutoencoderKL, text_encoder: CLIPTextModel, moments: torch.Tensor, ids: torch.Tensor,
    empty: torch.Tensor, recipe: Config, args: Namespace,
) -> nn.ModuleDict:  # fmt: skip
    """Train the U-Net and the text encoder until all steps are done or the time is up."""
    channels = vae.config.latent_channels
    unet = start_of(args, 'unet', UNet2DConditionModel) or UNet2DConditionModel(
        in_channels=channels, out_channels=channels, cross_attention_dim=text_encoder.config.hidden_size, **recipe.unet
    )
    model = nn.ModuleDict(dict(unet=unet, text_encoder=text_encoder))
    fast_unet = torch.compile(unet) if args.compile else unet
    scheduler = DDPMScheduler(**recipe.scheduler)

    def loss_of(indices, generator):
        random = partial(torch.randn, generator=generator, device=args.device)
        mean, logvar = moments[indices].chunk(2, dim=1)
        latents = (mean + random(mean.shape) * (0.5 * logvar.clamp(-30, 20)).exp()) * vae.config.scaling_factor
        draws = torch.randint(1000, (args.timestep_draws, len(indices)), generator=generator, device=args.device)
        timesteps = draws.amax(dim=0)
        tokens = ids[indices, random_captions(len(indices), generator)]
        dropped = torch.rand(len(indices), 1, generator=generator, device=args.device) < 0.1  # for guidance
        tokens = torch.where(dropped, empty, tokens)
        errors = velocity_loss(fast_unet, text_encoder, latents, tokens, timesteps, random(mean.shape), scheduler)
        if args.snr_gamma is None:
            return dict(loss=errors.mean())
        ratio = compute_snr(scheduler, timesteps)
        return dict(loss=(errors * ratio.clamp(max=args.snr_gamma) / (ratio + 1)).mean(), mse=errors.mean())

    model, _ = fit(
        run, 'unet', model, loss_of, args.num_scenes, args, steps=args.unet_steps, batch_size=args.unet_batch_size,
        lr=args.lr, continued=is_continued(args, 'unet'),
    )  # fmt: skip
    measure_unet(run, model, ids, moments[:, :channels] * vae.config.scaling_factor, scheduler, args)
    return model


@torch.no_grad()
def measure_unet(
    run: Run, model: nn.ModuleDict, ids: torch.Tensor, latents: torch.Tensor, scheduler: DDPMScheduler, args: Namespace
):  # fmt: skip
    """Log the error on held-out scenes, and by how much captions decrease it in the first domain at high noise.

    The noise is fixed. For the error, the timesteps are evenly spaced. The gain from captions is the error with the
    captions of other scenes minus the error with those of the scenes.
    """
    count = len(latents) - args.num_scenes
    latents, tokens = latents[-count:], ids[-count:, 0]
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).to(args.device)

    def error(tokens, timesteps):
        scenes = slice(len(tokens))
        inputs = (latents[scenes], tokens, timesteps, noise[scenes], scheduler)
        return velocity_loss(model['unet'], model['text_encoder'], *inputs).mean().item()

    held_out = error(tokens, torch.arange(count, device=args.device) * 197 % 1000)
    timesteps = torch.full((HELD_OUT,), 980, device=args.device)
    gain = error(tokens[:HELD_OUT].roll(1, dims=0), timesteps) - error(tokens[:HELD_OUT], timesteps)
    run.log_once(stage='unet', held_out=round(held_out, 5), caption_gain=round(gain, 5))


def export(run: Run, vae, tokenizer, model: nn.ModuleDict, recipe: Config, args: Namespace, folder: Path):
    """Write the diffusers folder in half precision, with a model card and sample images.

    The folder is first written to the work directory, so that a file of an older export stays in place until its
    replacement is complete.
    """
    scheduler = DDIMScheduler(**recipe.scheduler, set_alpha_to_one=False)
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=model['text_encoder'], tokenizer=tokenizer, unet=model['unet'], scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    samples = draw(pipeline, SIZE)
    made = run.dir / 'export'
    shutil.rmtree(made, ignore_errors=True)  # left over if a run was killed
    with whole_folder(made) as partial_folder:
        pipeline.to('cpu', torch.float16).save_pretrained(partial_folder)
        for part in ('vae', 'unet'):
            forget_origin(partial_folder / part / 'config.json')
        write_whole(partial_folder / 'samples.png', encode_png(samples))
        earlier = args.start_from and args.start_from / 'history.json'
        history = json.loads(earlier.read_text()) if earlier and earlier.exists() else []
        history += stages_of(run.entries())
        write_whole(partial_folder / 'history.json', json.dumps(history, indent=2) + '\n')
        data = dict(scenes=args.num_scenes, seed=args.seed, shares=recipe.domains, size=SIZE)
        write_card(partial_folder / 'README.md', pipeline, history, **data)
    replace_files(made, folder)
    shutil.rmtree(made)


def replace_files(source: Path, folder: Path):
    """Copy all files to another folder, where each copy appears when it is complete."""
    for path in sorted(source.rglob('*')):
        if path.is_file():
            with whole_file(folder / path.relative_to(source)) as partial_file:
                shutil.copyfile(path, partial_file)


def forget_origin(config: Path):
    """Remove from the config of a part the path from which the part was loaded."""
    values = json.loads(config.read_text())
    values.pop('_name_or_path', None)
    write_whole(config, json.dumps(values, indent=2) + '\n')


def stages_of(entries: list[dict]) -> list[dict]:
    """Summarise the log as one dict per trained stage: mean losses of its last ten entries, and what was measured."""
    stages = []
    for name in PARTS:
        logged = [entry for entry in entries if entry['stage'] == name]
        if trained := [entry for entry in logged if 'step' in entry]:
            last = trained[-10:]
            losses = [key for key in SHOWN_LOSSES if key in last[0]]
            stage = {key: last[-1][key] for key in ('stage', 'continued', 'step', 'batch_size')}
            stage['losses'] = {key: round(fmean(entry[key] for entry in last), 5) for key in losses}
            stages.append(stage)
            for entry in logged:
                stage |= {key: entry[key] for key in ('psnr', 'held_out') if key in entry}
    return stages


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/tiny-sd'), metavar='FOLDER',
        help='folder for intermediate results (default: %(default)s)',
    )  # fmt: skip
    add_shared(parser, '--out', 'diffusers format; default: WORK_DIR/tiny-sd')
    parser.add_argument(
        '--start-from', type=Path, metavar='FOLDER', help='exported folder whose parts to train further'
    )
    add_shared(parser, '--time-limit', 'after which training stops; default: none', metavar='MINUTES')
    parser.add_argument(
        '--last-stage', choices=PARTS, default='unet', help='training after which to stop (default: %(default)s)'
    )
    for kind, options in OPTIONS.items():
        for name, (default, text) in options.items():
            parser.add_argument(name, type=kind, default=default, metavar='N', help=f'{text} (default: %(default)s)')
    parser.add_argument(
        '--snr-gamma', type=positive_float, metavar='N', help='gamma of min-SNR loss weights (default: equal weights)'
    )
    add_shared(parser, '--compile', 'the U-Net; the first time, it takes minutes')
    add_shared(parser, '--cfg-options', f'keys begin with one of: {", ".join(RECIPE)}')
    for name in ('--device', '--dtype', '--seed'):
        add_shared(parser, name)
    add_shared(parser, '--workers', default=2)
    return parser


def parse_args(arguments=None) -> tuple[Namespace, Config]:
    """Read the command line; return the options and the recipe."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.start_from and not args.start_from.is_dir():
        parser.error(f'--start-from: expected an exported folder, got {args.start_from}')
    options = args.cfg_options or {}
    if unknown := [key for key in options if key.split('.')[0] not in RECIPE]:
        parser.error(f'--cfg-options: keys must begin with one of: {", ".join(RECIPE)}; got {", ".join(unknown)}')
    args.num_scenes = math.ceil(args.num_scenes / CHUNK) * CHUNK
    recipe = Config(RECIPE)
    recipe.merge_from_dict(options)
    return args, recipe


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    """Run the stages that are not done yet."""
    args, recipe = parse_args(arguments)
    torch.manual_seed(args.seed)
    run = Run(args.work_dir, args.time_limit)
    images, captions = make_scenes(run, recipe, args)
    images = images.to(args.device)
    vae, done = train_autoencoder(run, images, recipe, args)
    measure_autoencoder(run, vae, images[args.num_scenes :], recipe)
    if not done or args.last_stage == 'autoencoder':
        return
    tokenizer = train_tokenizer(run, captions, args)
    moments = encode_all(run, vae, images)
    if args.tiny_autoencoder_steps:
        train_tiny_autoencoder(run, vae, images, moments, recipe, args)
    ids, empty = tokenize(tokenizer, captions, args)
    text_encoder, done = train_text_encoder(run, tokenizer, moments, ids, recipe, args)
    if not done or args.last_stage == 'text':
        return
    model = train_unet(run, vae, text_encoder, moments, ids, empty, recipe, args)
    export(run, vae, tokenizer, model, recipe, args, args.out or run.dir / 'tiny-sd')


if __name__ == '__main__':
    sys.exit(main())
