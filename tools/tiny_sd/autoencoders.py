"""The autoencoders of tiny-sd, for ``pretrain_tiny_sd.py``: the AutoencoderKL and an AutoencoderTiny like TAESD."""

from argparse import Namespace

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from mmengine.config import Config
from tqdm import tqdm

from mmdiffperc.files import whole_file, whole_folder

from .training import Run, fit, is_continued, load_tensors, read, start_of

CROP = 64  # side of the crops for training
KL_WEIGHT = 1e-8  # weight of the divergence, a sum over an image; the other losses are means over pixels


def to_pixels(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 to the range ``[-1, 1]`` that the autoencoder of Stable Diffusion expects."""
    return images.float() / 127.5 - 1


def encode(vae: AutoencoderKL, pixels: torch.Tensor) -> DiagonalGaussianDistribution:
    """Return the posterior of pixels in single precision."""
    return DiagonalGaussianDistribution(vae.encode(pixels).latent_dist.parameters.float())


def build_autoencoder(settings: dict) -> AutoencoderKL:
    vae = AutoencoderKL(**settings)
    with torch.no_grad():  # start with little noise; otherwise, a latent channel could drown in it and never recover
        vae.quant_conv.bias[settings['latent_channels'] :] = -6.0
    return vae


def train_autoencoder(run: Run, images: torch.Tensor, recipe: Config, args: Namespace) -> tuple[AutoencoderKL, bool]:
    """Train the autoencoder; return it, and whether all steps are done."""
    vae = start_of(args, 'autoencoder', AutoencoderKL) or build_autoencoder(recipe.autoencoder)

    def loss_of(indices, generator):
        top, left = torch.randint(images.shape[-1] - CROP + 1, (2,), generator=generator, device=args.device).tolist()
        target = to_pixels(images[indices, :, top : top + CROP, left : left + CROP])
        posterior = encode(vae, target)
        output = vae.decode(posterior.sample(generator)).sample.float()
        l1, mse, kl = F.l1_loss(output, target), F.mse_loss(output, target), posterior.kl().mean()
        return dict(loss=l1 + mse + KL_WEIGHT * kl, l1=l1, mse=mse, kl=kl)

    return fit(
        run, 'autoencoder', vae, loss_of, args.num_scenes, args, steps=args.autoencoder_steps,
        batch_size=args.autoencoder_batch_size, lr=args.autoencoder_lr, continued=is_continued(args, 'autoencoder'),
    )  # fmt: skip


@torch.no_grad()
def measure_autoencoder(run: Run, vae: AutoencoderKL, held_out: torch.Tensor, recipe: Config):
    """Log the PSNR in decibels of the reconstruction of held-out scenes, as a mean over the images of each domain."""
    found = []
    for batch in held_out.split(32):
        target = to_pixels(batch)
        output = vae.decode(encode(vae, target).mode()).sample.clamp(-1, 1)
        found.append(10 * torch.log10(4 / (output - target).square().mean(dim=(1, 2, 3))))
    values = torch.cat(found).view(len(recipe.domains), -1).mean(dim=1).tolist()
    psnr = {domain: round(value, 2) for domain, value in zip(recipe.domains, values, strict=True)}
    run.log_once(stage='autoencoder', psnr=psnr)


@torch.no_grad()
def encode_all(run: Run, vae: AutoencoderKL, images: torch.Tensor) -> torch.Tensor:
    """Return the posterior moments ``(N, 2 * channels, h, w)`` of all images; set the scaling factor, 1 / deviation."""
    path, steps = run.dir / 'moments.pt', run.load('autoencoder')['step']
    state = read(path, load_tensors) if path.exists() else {}
    if state.get('steps') != steps or len(state['moments']) != len(images):
        batches = tqdm(images.split(32), desc='encode')
        state = dict(steps=steps, moments=torch.cat([encode(vae, to_pixels(batch)).parameters for batch in batches]))
        with whole_file(path) as partial_file:
            torch.save(state, partial_file)
    moments = state['moments'].to(images.device)
    vae.register_to_config(scaling_factor=round(1 / moments.chunk(2, dim=1)[0].std().item(), 5))
    return moments


def train_tiny_autoencoder(
    run: Run, vae: AutoencoderKL, images: torch.Tensor, moments: torch.Tensor, recipe: Config, args: Namespace
):
    """Train an AutoencoderTiny like TAESD, whose encoder imitates the scaled latents, and write its folder."""
    tiny = AutoencoderTiny(latent_channels=vae.config.latent_channels, **recipe.tiny_autoencoder)
    latents = moments.chunk(2, dim=1)[0] * vae.config.scaling_factor

    def loss_of(indices, generator):
        target = to_pixels(images[indices])
        encoder = F.mse_loss(tiny.encode(target).latents.float(), latents[indices])
        decoder = F.mse_loss(tiny.decode(latents[indices]).sample.float(), target)
        return dict(loss=encoder + decoder, encoder=encoder, decoder=decoder)

    tiny, done = fit(
        run, 'tiny_autoencoder', tiny, loss_of, args.num_scenes, args, steps=args.tiny_autoencoder_steps,
        batch_size=args.autoencoder_batch_size, lr=1e-3, continued=False,
    )  # fmt: skip
    with torch.no_grad():  # on the held-out scenes; the variance of the scaled latents is 1
        error = F.mse_loss(tiny.encode(to_pixels(images[args.num_scenes :])).latents, latents[args.num_scenes :])
        run.log_once(stage='tiny_autoencoder', held_out=round(error.item(), 5))
    if done and not (folder := run.dir / 'tiny-autoencoder').exists():
        with whole_folder(folder) as partial_folder:
            tiny.to('cpu', torch.float16).save_pretrained(partial_folder)
