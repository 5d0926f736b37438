"""Pre-train tiny-sd, a complete Stable Diffusion in miniature, on captioned toy scenes.

The six stages write these files and folders to ``WORK_DIR``::

    scenes       scenes/*.npz    renders toy scenes and writes captions for them
    autoencoder  autoencoder.pt  trains the AutoencoderKL on crops, with L1, MSE and a small KL loss
    tokenizer    tokenizer/      learns CLIP's byte-level BPE from the captions
    text         text.pt         trains the CLIPTextModel with CLIP's objective, which matches captions and images
    unet         unet.pt         trains the UNet2DConditionModel and the text encoder with the objective of Stable
                                 Diffusion 2.x: scaled-linear DDPM, velocity prediction, captions dropped at random
    export       tiny-sd/        writes the diffusers folder in half precision, with a model card and sample images

To resume an interrupted run, run the same command again. Files appear when they are complete. If a file is damaged, the
tool reports an error. The file log.jsonl keeps every logged loss.

    python tools/pretrain_tiny_sd.py --out mmdiffperc/assets/tiny-sd
"""

import json
import math
import shutil
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from multiprocessing import Pool
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from tiny_sd_card import draw, write_card
from tokenizers.pre_tokenizers import ByteLevel
from torch import nn
from tqdm import tqdm
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from mmdiffperc.command_line import add_shared, bounded, one_line_errors, positive, positive_float, tool_parser
from mmdiffperc.files import brief, whole_file, whole_folder, write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.processes import end_with_parent
from mmdiffperc.toy_scenes import caption, render, sample_scene

SIZE = 128  # pixels; the latents are 16 x 16
CROP = 64  # side of the crops for the autoencoder
CHUNK = 500  # scenes per file
CAPTIONS_PER_SCENE = 8
KL_WEIGHT = 1e-8  # weight of the divergence, a sum over an image; the other losses are means over pixels
DOMAIN_B_SHARE = (
    0.3  # share of scenes with the other appearance; a prior trained on images from the web has also seen many
)
MAX_LENGTH = 77
BOS, EOS = '<|startoftext|>', '<|endoftext|>'

AUTOENCODER = dict(
    block_out_channels=(16, 32, 64, 64),
    down_block_types=('DownEncoderBlock2D',) * 4,
    up_block_types=('UpDecoderBlock2D',) * 4,
    layers_per_block=1,
    latent_channels=4,
    norm_num_groups=8,
    sample_size=SIZE,
)
TEXT_ENCODER = dict(
    hidden_size=96,
    intermediate_size=384,
    num_hidden_layers=3,
    num_attention_heads=4,
    max_position_embeddings=MAX_LENGTH,
    projection_dim=96,
)
UNET = dict(
    sample_size=SIZE // 8,
    block_out_channels=(64, 96, 96, 96),
    down_block_types=('CrossAttnDownBlock2D',) * 3 + ('DownBlock2D',),
    up_block_types=('UpBlock2D',) + ('CrossAttnUpBlock2D',) * 3,
    layers_per_block=1,
    cross_attention_dim=TEXT_ENCODER['hidden_size'],
    attention_head_dim=4,
    norm_num_groups=16,
)
SCHEDULER = dict(
    num_train_timesteps=1000,
    beta_start=0.00085,
    beta_end=0.012,
    beta_schedule='scaled_linear',
    clip_sample=False,
    steps_offset=1,
    # Noise prediction gives little weight to errors at high noise levels, where captions matter most.
    prediction_type='v_prediction',
)
# Default and help of the options, by type.
OPTIONS = {
    positive: {
        '--num-scenes': (12000, 'number of toy scenes'),
        '--autoencoder-steps': (10000, 'number of training steps of the autoencoder'),
        '--text-steps': (3000, 'number of training steps of the text encoder'),
        '--text-batch-size': (128, 'batch size of the text encoder'),
        '--unet-steps': (12000, 'number of training steps of the U-Net'),
        '--log-every': (50, 'number of steps between log entries'),
    },
    positive_float: {
        '--autoencoder-lr': (2e-3, 'peak learning rate of the autoencoder'),
        '--lr': (8e-4, 'peak learning rate of the U-Net and the text encoder'),
    },
    bounded(int, 3, MAX_LENGTH): {'--train-tokens': (48, 'number of tokens to which captions are padded')},
    bounded(float, 0): {'--save-every': (120, 'seconds between saved training states')},
}
PARTS = dict(autoencoder='vae', text='text_encoder', unet='unet')  # stage -> folder of the part that it trains


class Run:
    """A work directory with a log and training states, from which an interrupted training can resume."""

    def __init__(self, work_dir: Path):
        self.dir = work_dir
        self.log_file = work_dir / 'log.jsonl'
        if self.log_file.exists():
            content = self.log_file.read_bytes()
            if not content.endswith(b'\n'):  # the run was killed, or the disk was full, in the middle of a line
                write_whole(self.log_file, content[: content.rfind(b'\n') + 1])

    def log(self, **values):
        with open(self.log_file, 'a') as file:
            file.write(json.dumps(values) + '\n')

    def entries(self) -> list[dict]:
        return read(self.log_file, lambda path: [json.loads(line) for line in path.read_text().splitlines()])

    def save(self, stage: str, **state):
        with whole_file(self.dir / f'{stage}.pt') as partial_file:
            torch.save(state, partial_file)

    def load(self, stage: str) -> dict:
        path = self.dir / f'{stage}.pt'
        return read(path, load_tensors) if path.exists() else {}


def read(path: Path, load: Callable):
    """Load a file that an earlier run wrote.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        return load(path)
    except Exception as error:  # a reader can fail in any way on damaged bytes
        raise ValueError(
            f'{path} is damaged ({brief(str(error))}). Remove it, and run the same command again to create it'
        ) from error


load_tensors = partial(torch.load, map_location='cpu', weights_only=True)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return {name: file[name] for name in ('images', 'captions')}


def render_chunk(task: tuple[Path, int, int]):
    """Render ``CHUNK`` scenes, and write them and their captions to a file."""
    path, first, seed = task
    images, captions = [], []
    for index in range(first, first + CHUNK):
        rng = np.random.default_rng([seed, index])
        domain = 'b' if rng.random() < DOMAIN_B_SHARE else 'a'
        rendering = render(sample_scene(rng, domain), SIZE)
        images.append(rendering.image)
        captions.append([caption(rendering, rng) for _ in range(CAPTIONS_PER_SCENE)])
    with whole_file(path) as partial_file:
        np.savez(partial_file, images=np.stack(images), captions=np.array(captions))


def make_scenes(run: Run, num_scenes: int, seed: int, workers: int) -> tuple[torch.Tensor, np.ndarray]:
    """Return images ``(N, 3, SIZE, SIZE)`` uint8 and captions ``(N, CAPTIONS_PER_SCENE)``; render what is missing."""
    paths = [run.dir / 'scenes' / f'{first:06d}.npz' for first in range(0, num_scenes, CHUNK)]
    tasks = [(path, index * CHUNK, seed) for index, path in enumerate(paths) if not path.exists()]
    if tasks:
        with Pool(workers, initializer=end_with_parent) as pool:
            list(tqdm(pool.imap(render_chunk, tasks), desc='scenes', total=len(tasks), unit_scale=CHUNK))
    chunks = [read(path, load_arrays) for path in paths]
    images = torch.from_numpy(np.concatenate([chunk['images'] for chunk in chunks]))
    return images.permute(0, 3, 1, 2).contiguous(), np.concatenate([chunk['captions'] for chunk in chunks])


def fit(run: Run, stage: str, model: nn.Module, loss_of, num_images: int, args, *, steps: int, batch: int, lr: float):
    """Train a model on random batches of image indices, or resume from the file of the stage.

    Args:
        loss_of (callable): Function ``(indices, generator)`` that returns a dict of losses. The optimizer minimises
            ``'loss'``.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-2, betas=(0.9, 0.99), fused=True)
    schedule = get_cosine_schedule_with_warmup(optimizer, min(500, steps // 10), steps)
    state = run.load(stage)
    if state:
        model.load_state_dict(state['model'])
        optimizer.load_state_dict(state['optimizer'])
        schedule.load_state_dict(state['schedule'])

    def save(step):
        run.save(stage, step=step, model=model.state_dict(), optimizer=optimizer.state_dict(),
                 schedule=schedule.state_dict())  # fmt: skip

    model.train()
    recent, start, since_save = [], time.time(), time.time()
    for step in tqdm(range(state.get('step', 0), steps), desc=stage, initial=state.get('step', 0), total=steps):
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        losses = loss_of(torch.randint(num_images, (batch,), generator=generator), generator)
        losses['loss'].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        recent.append({name: float(value.detach()) for name, value in losses.items()})
        if (step + 1) % args.log_every == 0:
            means = {name: fmean(values[name] for values in recent) for name in losses}
            rate, seconds = schedule.get_last_lr()[0], round(time.time() - start, 1)
            run.log(stage=stage, continued=is_continued(args, stage), step=step + 1, seconds=seconds, lr=rate, **means)
            recent = []
        if time.time() - since_save > args.save_every:
            save(step + 1)
            since_save = time.time()
    save(steps)
    return model.eval()


def is_continued(args, stage: str) -> bool:
    return bool(args.start_from) and (args.start_from / PARTS[stage]).exists()


def start_of(args, stage: str, cls: type) -> nn.Module | None:
    """Load the part that a stage trains from ``--start-from``, in single precision; return None if it is absent."""
    return cls.from_pretrained(args.start_from / PARTS[stage]).float() if is_continued(args, stage) else None


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 to the range ``[-1, 1]`` that the autoencoder of Stable Diffusion expects."""
    return images.float() / 127.5 - 1


def build_autoencoder() -> AutoencoderKL:
    vae = AutoencoderKL(**AUTOENCODER)
    with torch.no_grad():  # start with little noise; otherwise, a latent channel could drown in it and never recover
        vae.quant_conv.bias[AUTOENCODER['latent_channels'] :] = -6.0
    return vae


def train_autoencoder(run: Run, images: torch.Tensor, args) -> AutoencoderKL:
    vae = start_of(args, 'autoencoder', AutoencoderKL) or build_autoencoder()

    def loss_of(indices, generator):
        top, left = torch.randint(SIZE - CROP + 1, (2,), generator=generator).tolist()
        target = to_pixels(images[indices, :, top : top + CROP, left : left + CROP])
        posterior = vae.encode(target).latent_dist
        output = vae.decode(posterior.sample(generator)).sample
        l1, mse, kl = F.l1_loss(output, target), F.mse_loss(output, target), posterior.kl().mean()
        return dict(loss=l1 + mse + KL_WEIGHT * kl, l1=l1, mse=mse, kl=kl)

    steps, lr = args.autoencoder_steps, args.autoencoder_lr
    return fit(run, 'autoencoder', vae, loss_of, len(images), args, steps=steps, batch=8, lr=lr)


@torch.no_grad()
def encode_all(run: Run, vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Return the posterior moments ``(N, 8, h, w)`` of all images; set the scaling factor to 1 / standard deviation."""
    path = run.dir / 'moments.pt'
    if path.exists():
        moments = read(path, load_tensors)
    else:
        batches = tqdm(images.split(32), desc='encode')
        moments = torch.cat([vae.encode(to_pixels(batch)).latent_dist.parameters for batch in batches])
        with whole_file(path) as partial_file:
            torch.save(moments, partial_file)
    vae.register_to_config(scaling_factor=round(1 / moments[:, :4].std().item(), 5))
    return moments


def train_tokenizer(run: Run, captions: np.ndarray, args) -> CLIPTokenizer:
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


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    tokens = dict(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(CLIPTextConfig(vocab_size=len(tokenizer), **tokens, **TEXT_ENCODER))


def tokenize(tokenizer: CLIPTokenizer, captions: np.ndarray, args) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the tokens of all captions ``(N, CAPTIONS_PER_SCENE, length)`` and of an empty caption ``(length,)``."""
    options = dict(max_length=args.train_tokens, padding='max_length', truncation=True, return_tensors='pt')
    ids = tokenizer(captions.ravel().tolist(), **options).input_ids.view(*captions.shape, -1)
    return ids, tokenizer('', **options).input_ids[0]


class ImageTower(nn.Sequential):
    """A small image encoder for CLIP's objective, which maps latents ``(B, 4, h, w)`` to embeddings ``(B, C)``."""

    def __init__(self, width: int):
        layers, channels = [], AUTOENCODER['latent_channels']
        for out_channels in (64, 96, 128):
            layers += [
                nn.Conv2d(channels, out_channels, 3, stride=2, padding=1),
                nn.GroupNorm(8, out_channels),
                nn.SiLU(),
            ]
            channels = out_channels
        super().__init__(*layers, nn.Flatten(), nn.Linear(channels * (SIZE // 64) ** 2, width))


def train_text_encoder(run: Run, tokenizer, moments: torch.Tensor, ids: torch.Tensor, args) -> CLIPTextModel:
    """Train the text encoder with CLIP's contrastive loss between the captions and images of a batch."""
    text_encoder = start_of(args, 'text', CLIPTextModel) or build_text_encoder(tokenizer)
    model = nn.ModuleDict(dict(text_encoder=text_encoder, image=ImageTower(TEXT_ENCODER['projection_dim'])))
    model.register_parameter('log_scale', nn.Parameter(torch.tensor(math.log(10.0))))
    target = torch.arange(args.text_batch_size)

    def loss_of(indices, generator):
        latents = moments[indices, : AUTOENCODER['latent_channels']]
        captions = ids[indices, torch.randint(CAPTIONS_PER_SCENE, (len(indices),), generator=generator)]
        images = F.normalize(model['image'](latents))
        texts = F.normalize(model['text_encoder'](captions).pooler_output)
        logits = model.log_scale.exp().clamp(max=100) * texts @ images.T
        hits = (logits.argmax(dim=1) == target).float().mean()
        return dict(loss=(F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2, hits=hits)

    steps, batch = args.text_steps, args.text_batch_size
    return fit(run, 'text', model, loss_of, len(moments), args, steps=steps, batch=batch, lr=1e-3)['text_encoder']


def train_unet(run: Run, vae, text_encoder, moments: torch.Tensor, ids, empty, args) -> nn.ModuleDict:
    unet = start_of(args, 'unet', UNet2DConditionModel) or UNet2DConditionModel(**UNET)
    unet = unet.to(memory_format=torch.channels_last)  # a quarter faster on a CPU
    model = nn.ModuleDict(dict(unet=unet, text_encoder=text_encoder))
    scheduler = DDPMScheduler(**SCHEDULER)

    def loss_of(indices, generator):
        mean, logvar = moments[indices].chunk(2, dim=1)
        noise = torch.randn(2, *mean.shape, generator=generator)
        latents = (mean + noise[0] * (0.5 * logvar.clamp(-30, 20)).exp()) * vae.config.scaling_factor
        timesteps = torch.randint(scheduler.config.num_train_timesteps, (len(indices),), generator=generator)
        noisy = scheduler.add_noise(latents, noise[1], timesteps)
        tokens = ids[indices, torch.randint(CAPTIONS_PER_SCENE, (len(indices),), generator=generator)]
        dropped = torch.rand(len(indices), 1, generator=generator) < 0.1  # for classifier-free guidance
        context = model['text_encoder'](torch.where(dropped, empty, tokens)).last_hidden_state
        prediction = model['unet'](noisy, timesteps, context).sample
        return dict(loss=F.mse_loss(prediction, scheduler.get_velocity(latents, noise[1], timesteps)))

    return fit(run, 'unet', model, loss_of, len(moments), args, steps=args.unet_steps, batch=16, lr=args.lr)


def export(run: Run, vae, tokenizer, model: nn.ModuleDict, args, folder: Path):
    """Write the diffusers folder in half precision, with a model card and sample images.

    The folder is first written to the work directory, so that a file of an older export stays in place until its
    replacement is complete.
    """
    scheduler = DDIMScheduler(**SCHEDULER, set_alpha_to_one=False)
    pipeline = StableDiffusionPipeline(
        vae=vae, text_encoder=model['text_encoder'], tokenizer=tokenizer, unet=model['unet'], scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    samples = draw(pipeline, SIZE)
    made = run.dir / 'export'
    shutil.rmtree(made, ignore_errors=True)  # left over if a run was killed
    with whole_folder(made) as partial_folder:
        pipeline.to(torch.float16).save_pretrained(partial_folder)
        for part in ('vae', 'unet'):
            forget_origin(partial_folder / part / 'config.json')
        write_whole(partial_folder / 'samples.png', encode_png(samples))
        data = dict(scenes=args.num_scenes, seed=args.seed, share_b=round(100 * DOMAIN_B_SHARE), size=SIZE)
        write_card(partial_folder / 'README.md', pipeline, run.entries(), **data)
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
    for kind, options in OPTIONS.items():
        for name, (default, text) in options.items():
            parser.add_argument(name, type=kind, default=default, metavar='N', help=f'{text} (default: %(default)s)')
    add_shared(parser, '--seed')
    add_shared(parser, '--workers', default=2)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.start_from and not args.start_from.is_dir():
        parser.error(f'--start-from: expected an exported folder, got {args.start_from}')
    return args


@one_line_errors(ValueError, OSError, RuntimeError)
def main(arguments=None):
    args = parse_args(arguments)
    torch.manual_seed(args.seed)
    run = Run(args.work_dir)
    images, captions = make_scenes(run, math.ceil(args.num_scenes / CHUNK) * CHUNK, args.seed, args.workers)
    vae = train_autoencoder(run, images, args)
    tokenizer = train_tokenizer(run, captions, args)
    moments = encode_all(run, vae, images)
    ids, empty = tokenize(tokenizer, captions, args)
    text_encoder = train_text_encoder(run, tokenizer, moments, ids, args)
    model = train_unet(run, vae, text_encoder, moments, ids, empty, args)
    export(run, vae, tokenizer, model, args, args.out or run.dir / 'tiny-sd')


if __name__ == '__main__':
    sys.exit(main())
