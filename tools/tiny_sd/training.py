"""Training of the parts of tiny-sd, for ``pretrain_tiny_sd.py``: the work directory, and the loop that resumes."""

import json
import time
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor
from diffusers.training_utils import EMAModel
from torch import nn
from tqdm import tqdm

from mmdiffperc.files import brief, whole_file, write_whole

PARTS = dict(autoencoder='vae', text='text_encoder', unet='unet')  # stage -> folder of the part that it trains
WARM_UP_STEPS = 500


class Run:
    """A work directory with a log and training states, from which an interrupted training run can resume.

    Args:
        work_dir (Path): The directory.
        time_limit (float, optional): Minutes after which training stops. Default: no limit.
    """

    def __init__(self, work_dir: Path, time_limit: float | None = None):
        self.dir = work_dir
        self.deadline = time.monotonic() + 60 * time_limit if time_limit else float('inf')
        self.log_file = work_dir / 'log.jsonl'
        if self.log_file.exists():
            content = self.log_file.read_bytes()
            if not content.endswith(b'\n'):  # the run was killed, or the disk was full, in the middle of a line
                write_whole(self.log_file, content[: content.rfind(b'\n') + 1])

    def time_is_up(self) -> bool:
        """Return whether the time limit has passed."""
        return time.monotonic() > self.deadline

    def log(self, **values):
        """Append a line to the log."""
        with open(self.log_file, 'a') as file:
            file.write(json.dumps(values) + '\n')

    def log_once(self, **values):
        """Append a line to the log if the log does not have it, so that a run without training changes nothing."""
        if values not in self.entries():
            self.log(**values)

    def entries(self) -> list[dict]:
        """Return the lines of the log."""
        if not self.log_file.exists():
            return []
        return read(self.log_file, lambda path: [json.loads(line) for line in path.read_text().splitlines()])

    def save(self, stage: str, **state):
        """Write the training state of a stage."""
        with whole_file(self.dir / f'{stage}.pt') as partial_file:
            torch.save(state, partial_file)

    def load(self, stage: str) -> dict:
        """Return the training state of a stage, or an empty dict if it has not begun."""
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


def fit(
    run: Run, stage: str, model: nn.Module, loss_of: Callable, num_images: int, args: Namespace, *,
    steps: int, batch_size: int, lr: float, continued: bool,
) -> tuple[nn.Module, bool]:  # fmt: skip
    """Train a model on random batches of image indices, or resume from the file of the stage.

    The learning rate rises over the first steps, stays constant, and falls to zero over the last ``args.decay`` of the
    steps. It depends on nothing but the step, as do the batches and the noise. So an interrupted training run gives the
    same weights as an undisturbed one.

    Args:
        loss_of (Callable): Function ``(indices, generator)`` that returns a dict of losses. The optimizer minimises
            ``'loss'``.
        continued (bool): Whether the model starts from an earlier export, for the log.

    Returns:
        tuple[nn.Module, bool]: The model with the moving average of its weights, in evaluation mode, and whether all
        steps are done.
    """
    prepare(model, args)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=1e-2, betas=(0.9, 0.99), fused=True)
    average = EMAModel(model.parameters(), decay=args.ema_decay, foreach=True)
    state = run.load(stage)
    if state:
        model.load_state_dict(state['model'])
        optimizer.load_state_dict(state['optimizer'])
        average.load_state_dict(state['average'])
        average.to(args.device)

    def save():
        run.save(
            stage, step=step, model=model.state_dict(), optimizer=optimizer.state_dict(), average=average.state_dict()
        )

    model.train()
    recent, step, start, saved = [], state.get('step', 0), time.monotonic(), time.monotonic()
    progress = tqdm(initial=step, total=steps, desc=stage)
    while step < steps and not run.time_is_up():
        decay = (steps - step) / (args.decay * steps) if args.decay else 1
        optimizer.param_groups[0]['lr'] = lr * min(1, (step + 1) / min(WARM_UP_STEPS, steps), decay)
        generator = torch.Generator(args.device).manual_seed(args.seed * 1_000_003 + step)
        with autocast(args):
            losses = loss_of(
                torch.randint(num_images, (batch_size,), generator=generator, device=args.device), generator
            )
        losses['loss'].backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(model.parameters())
        step += 1
        progress.update()
        recent.append({name: float(value.detach()) for name, value in losses.items()})
        if step % args.log_every == 0:
            means = {name: fmean(values[name] for values in recent) for name in losses}
            rate = len(recent) * batch_size / (time.monotonic() - start)
            run.log(
                stage=stage, continued=continued, step=step, batch_size=batch_size, images_per_second=round(rate, 1),
                lr=optimizer.param_groups[0]['lr'], **means,
            )  # fmt: skip
            recent, start = [], time.monotonic()
        if time.monotonic() - saved > args.save_every:
            save()
            saved = time.monotonic()
    save()
    average.copy_to(model.parameters())
    return model.eval(), step >= steps


def autocast(args: Namespace) -> torch.autocast:
    """Return a context that computes in ``args.dtype`` where PyTorch considers it safe."""
    dtype = getattr(torch, args.dtype)
    return torch.autocast(torch.device(args.device).type, dtype, enabled=dtype != torch.float32)


def prepare(model: nn.Module, args: Namespace):
    """Move a model to the device, in the form that trains fastest.

    On a CPU, half precision only pays off with two exceptions: PyTorch's group norm and the backward pass of its fused
    attention are slow in bfloat16. So group norm stays in single precision, and attention becomes two matrix products.
    """
    model.to(args.device, memory_format=torch.channels_last)
    if args.dtype != 'float32' and torch.device(args.device).type == 'cpu':
        for module in model.modules():
            if isinstance(module, nn.GroupNorm):
                module.register_forward_pre_hook(in_single_precision)
            elif isinstance(module, Attention):
                module.set_processor(AttnProcessor())


def in_single_precision(module: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    """Convert the input of a module to float32."""
    return (inputs[0].float(),)


def is_continued(args: Namespace, stage: str) -> bool:
    """Return whether ``--start-from`` holds the part that a stage trains."""
    return bool(args.start_from) and (args.start_from / PARTS[stage]).exists()


def start_of(args: Namespace, stage: str, cls: type) -> nn.Module | None:
    """Load the part that a stage trains from ``--start-from``, in single precision; return None if it is absent."""
    return cls.from_pretrained(args.start_from / PARTS[stage]).float() if is_continued(args, stage) else None
