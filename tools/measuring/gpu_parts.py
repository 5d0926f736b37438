"""The parts of ``check_gpu.py``."""

import gc
import json
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement, PixelData
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mmdiffperc.engine.sharding import device_mesh, shard, wrap_diffusion_blocks
from mmdiffperc.models.compilation import compile_blocks
from mmdiffperc.models.layers import SentenceEncoder

from .speed import MIB, peak_memory, seconds, training_losses

ROOT = Path(__file__).parents[2]
GENERATIVE = 'projects/dmp/configs'
REPEATS = 5
# Dense operations per second in bfloat16, as NVIDIA states them.
PEAKS = {'H200': 989e12, 'H100': 989e12, 'A100': 312e12, 'L40S': 362e12, 'RTX 4090': 165e12, 'RTX 3090': 71e12}


class System(NamedTuple):
    """A model to measure.

    Args:
        config (str): Its config.
        tiny (str): The config of its toy model.
        batch_size (int): Images per GPU in the recipe.
        settings (dict): Settings that replace those of the config.
    """

    config: str
    tiny: str
    batch_size: int
    settings: dict = {}


METAPROMPTS = System(
    'configs/metaprompts/metaprompts_sd1-5-upernet_8xb1-80k_ade20k-512x512.py',
    'configs/metaprompts/metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py',
    2,
)
SYSTEMS = {
    'vpd': System(
        'configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py',
        'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py',
        2,
    ),
    'metaprompts': METAPROMPTS,
    'metaprompts-1-pass': METAPROMPTS._replace(settings={'model.backbone.num_refine_steps': 1}),
    'depth': System(
        'configs/vpd/vpd_sd1-5_8xb3-25e_nyu-480x480.py', 'configs/vpd/vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py', 3
    ),
    'dmp': System(
        f'{GENERATIVE}/dmp_sd1-4_1xb8-50k_bedroom-albedo-512x512.py',
        f'{GENERATIVE}/dmp_tiny-sd_1xb8-600_toy-dmp-albedo-128x128.py',
        8,
    ),
}


class Setting(NamedTuple):
    """How to measure.

    Args:
        device (torch.device): The device.
        tiny (bool): Use toy models and small images.
        note (Callable): Stores a result, by name.
    """

    device: torch.device
    tiny: bool
    note: Callable

    @property
    def side(self) -> int:
        """Height and width of the images."""
        return 64 if self.tiny else 512


def run(part: str, file: Path, device: str, tiny: bool):
    """Run a part, and append each result to a file as soon as it is known."""
    MMLogger.get_instance('check_gpu', log_level='ERROR')

    def note(name, **values):
        with file.open('a') as stream:
            stream.write(json.dumps(dict(name=name, **values)) + '\n')

    torch.manual_seed(0)
    setting = Setting(torch.device(device), tiny, note)
    if part in SYSTEMS:
        measure_system(SYSTEMS[part], setting)
    else:
        OTHERS[part](setting)


def describe(device: str) -> dict:
    """Return the name of a device, and what limits it."""
    name = torch.cuda.get_device_name(device) if torch.device(device).type == 'cuda' else 'CPU'
    peak = next((peak for known, peak in PEAKS.items() if known in name), None)
    return dict(name=name, torch=torch.__version__, cuda=torch.version.cuda, peak_flops=peak)


def build(system: System, setting: Setting) -> nn.Module:
    """Build a model with random weights on the device."""
    cfg = Config.fromfile(ROOT / (system.tiny if setting.tiny else system.config))
    cfg.merge_from_dict(system.settings)
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(setting.device)
    for module in model.modules():
        if isinstance(module, SentenceEncoder):
            module.note_weights()
    return model


def images_of(number: int, setting: Setting) -> torch.Tensor:
    """Return random images ``(B, 3, H, W)``."""
    return torch.rand(number, 3, setting.side, setting.side, device=setting.device) * 2 - 1


def losses_of(model: nn.Module, images: torch.Tensor) -> Callable:
    """Return a function that computes the losses for random targets."""
    if hasattr(model, 'backbone'):
        return training_losses(model, images)
    targets = torch.rand(len(images), 3, *images.shape[-2:], device=images.device)
    samples = [BaseDataElement(gt_target=PixelData(data=target), metainfo=dict(text='a room')) for target in targets]
    return lambda: model(images, samples, mode='loss')


def forward_of(model: nn.Module, images: torch.Tensor) -> Callable:
    """Return a function that runs a forward pass, without gradients."""
    networks = None if hasattr(model, 'backbone') else model.networks

    @torch.no_grad()
    def forward():
        if networks is None:
            return model(images, mode='tensor')
        latents = networks.encode(images)
        return networks.denoise(latents, 1, networks.embed(['a room'] * len(images)))

    return forward


def autocast(setting: Setting, dtype: torch.dtype):
    """Return the context that computes in a data type."""
    return nullcontext() if dtype == torch.float32 else torch.autocast(setting.device.type, dtype)


def measure_system(system: System, setting: Setting):
    """Measure forward pass and training step of a model, and compare autocast with single precision."""
    model = build(system, setting)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-6)
    for number in dict.fromkeys((1, 2 if setting.tiny else system.batch_size)):
        images = images_of(number, setting)
        exact = {}
        for dtype in (torch.float32, torch.bfloat16):
            precision = str(dtype).removeprefix('torch.')
            model.eval()
            forward = forward_of(model, images)
            with autocast(setting, dtype):
                note_run(f'forward, {precision}, batch {number}', forward, number, setting)
                compare(f'forward, {precision}, batch {number}: error', forward(), exact, setting)
            if number == 1 and hasattr(model, 'backbone'):
                continue  # batch norm needs two images
            model.train()
            losses = losses_of(model, images)
            step = step_of(model, losses, optimizer, setting, dtype)
            note_run(f'training step, {precision}, batch {number}', step, number, setting)


def step_of(model, losses, optimizer, setting, dtype) -> Callable:
    """Return a function that makes a training step and checks that the loss is finite."""

    def step():
        optimizer.zero_grad(set_to_none=True)
        with autocast(setting, dtype):
            loss, _ = model.parse_losses(losses())
        loss.backward()
        optimizer.step()
        return loss

    if not step().isfinite():
        raise RuntimeError(f'the loss in {dtype} is not finite')
    return step


def compare(name: str, outputs, exact: dict, setting: Setting):
    """Compare outputs with those in single precision, which come first."""
    outputs = [each.float() for each in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
    if not exact:
        exact['outputs'] = outputs
        return
    pairs = zip(outputs, exact['outputs'], strict=True)
    setting.note(name, relative_error=max(float((one - other).norm() / other.norm()) for one, other in pairs))


def note_run(name: str, work: Callable, number: int, setting: Setting):
    """Measure the time, memory and operations of a function, after a warm-up."""
    work()
    with FlopCounterMode(display=False) as counter:
        work()
    peak = peak_memory(work, setting.device)
    taken = median(seconds(work, setting.device) for _ in range(REPEATS))
    limit = describe(str(setting.device))['peak_flops']
    flops = counter.get_total_flops()
    setting.note(
        name,
        seconds=taken,
        images_per_second=number / taken,
        peak_memory_mib=peak,
        flops=flops,
        utilisation=flops / taken / limit if limit else None,
    )


def measure_variants(setting: Setting):
    """Measure the backbone of VPD in bfloat16: as it is, in channels_last, and with compiled blocks."""
    backbone = build(SYSTEMS['vpd'], setting).backbone.eval().to(torch.bfloat16)
    images = images_of(2, setting).to(torch.bfloat16)
    exact = {}

    @torch.no_grad()
    def forward():
        return backbone(images)

    def variant(name):
        note_run(name, forward, len(images), setting)
        compare(f'{name}: difference', forward(), exact, setting)

    variant('eager')
    backbone.to(memory_format=torch.channels_last)
    variant('channels_last')
    backbone.to(memory_format=torch.contiguous_format)
    start = time.monotonic()
    compile_blocks(backbone, backend='aot_eager' if setting.tiny else 'inductor')
    forward()
    setting.note('compilation', seconds=time.monotonic() - start)
    variant('compiled blocks')


def measure_fsdp(setting: Setting):
    """Compare a training step that is sharded by ``fully_shard`` in one process with one that is not."""
    images = images_of(2, setting)
    plain = training_loss(build_seeded(setting), images)
    backend = 'nccl' if setting.device.type == 'cuda' else 'gloo'
    torch.distributed.init_process_group(backend, store=torch.distributed.HashStore(), rank=0, world_size=1)
    model = build_seeded(setting)
    shard(model, device_mesh(setting.device.type), wrap_diffusion_blocks)
    sharded = training_loss(model, images)
    torch.distributed.destroy_process_group()
    setting.note('loss', plain=plain, sharded=sharded, relative_error=abs(sharded - plain) / abs(plain))


def build_seeded(setting: Setting) -> nn.Module:
    """Build VPD with the same random weights each time."""
    torch.manual_seed(1)
    return build(SYSTEMS['vpd'], setting).train()


def training_loss(model: nn.Module, images: torch.Tensor) -> float:
    """Return the loss of one training step, after which the weights have gradients."""
    torch.manual_seed(2)
    loss, _ = model.parse_losses(losses_of(model, images)())
    loss.backward()
    return loss.item()


def measure_memory(setting: Setting):
    """Compare the memory of weights, gradients and AdamW's state with what their sizes predict."""
    allocated = torch.cuda.memory_allocated if setting.device.type == 'cuda' else lambda device: None
    model = build(SYSTEMS['vpd'], setting).train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    weights = sum(each.nbytes for each in (*model.parameters(), *model.buffers()))
    predicted = dict(weights=weights, gradients=sum(each.nbytes for each in trained))
    predicted['optimizer'] = 2 * predicted['gradients']
    note_memory('weights', predicted['weights'], allocated(setting.device), setting)
    optimizer = torch.optim.AdamW(trained, lr=1e-6, fused=setting.device.type == 'cuda')
    training_loss(model, images_of(2, setting))
    gc.collect()
    note_memory('weights and gradients', weights + predicted['gradients'], allocated(setting.device), setting)
    optimizer.step()
    note_memory('weights, gradients and optimizer', sum(predicted.values()), allocated(setting.device), setting)


def note_memory(name: str, predicted: int, measured: int | None, setting: Setting):
    """Store predicted and measured memory in MiB; it is not measured on a CPU."""
    setting.note(name, predicted_mib=predicted / MIB, measured_mib=None if measured is None else measured / MIB)


def measure_windows(setting: Setting):
    """Measure eight windows of a large image in bfloat16, one by one and in batches."""
    model = build(SYSTEMS['vpd'], setting).eval()
    windows = images_of(8, setting)
    metas = [dict(img_shape=windows.shape[2:])]
    for batch_size in (1, 2, 4, 8):

        @torch.no_grad()
        def predict(size=batch_size):
            return torch.cat([model.encode_decode(batch, metas * len(batch)) for batch in windows.split(size)])

        with autocast(setting, torch.bfloat16):
            note_run(f'8 windows, {batch_size} at a time', predict, len(windows), setting)


OTHERS = dict(variants=measure_variants, fsdp=measure_fsdp, memory=measure_memory, windows=measure_windows)


def table(report: dict) -> str:
    """Format a report as a page in Markdown."""
    lines = [f'# {report["device"]["name"]}, torch {report["device"]["torch"]}', '']
    for name, part in report['parts'].items():
        lines += [f'## {name} ({part["seconds"]} s)', '']
        if part['error']:
            lines += [f'Not complete: {part["error"].splitlines()[-1]}', '']
        for result, values in part['results'].items():
            shown = ', '.join(f'{key} {show(value)}' for key, value in values.items() if value is not None)
            lines.append(f'- {result}: {shown}')
        lines.append('')
    return '\n'.join(lines)


def show(value: float) -> str:
    """Format a number with four digits."""
    return f'{value:.4g}'
