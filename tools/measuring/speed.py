"""Time and memory of a model, and their floor in plain diffusers."""

import copy
import ctypes
import gc
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor

from mmdiffperc.compat import config_imports
from mmdiffperc.half_precision import autocast_for, halve
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.compilation import compile_blocks
from mmdiffperc.models.prompts.base_prompts import SENTENCE
from mmdiffperc.progress import progress
from mmdiffperc.registry import class_name
from mmdiffperc.weights.architectures import build_unet

PROC = Path('/proc/self')
MIB = 2**20


def build_model(cfg: Config) -> nn.Module:
    """Build the model of a config with random weights.

    Raises:
        ValueError: The backbone is not a DiffusionUNet, or its prompts are sentences.
    """
    backbone = cfg.get('model', {}).get('backbone', {}).get('type')
    if class_name(backbone or '') != 'DiffusionUNet':
        raise ValueError(f'expected a config whose model.backbone is a DiffusionUNet, got {backbone}')
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    model = revert_sync_batchnorm(MODELS.build(cfg.model))
    if model.backbone.prompts.condition == SENTENCE:
        kind = type(model.backbone.prompts).__name__
        raise ValueError(f'expected prompts that do not depend on the image, got {kind}, which need sentences')
    return model


def stock_unet(backbone: DiffusionUNet) -> UNet2DConditionModel:
    """Return the stock U-Net of diffusers, which shares the weights of the backbone to save memory."""
    if isinstance(backbone.unet.conv_in.weight, FakeTensor):  # which need no memory
        return build_unet(backbone.arch).eval()
    with torch.device('meta'):
        unet = build_unet(backbone.arch)
    shared = {name.replace('.base_layer', ''): weight for name, weight in backbone.unet.state_dict().items()}
    unet.load_state_dict(shared, strict=False, assign=True)
    for module in unet.modules():  # parts that the backbone lacks, such as the output layer
        if any(parameter.is_meta for parameter in module.parameters(recurse=False)):
            module.to_empty(device=backbone.unet.device, recurse=False).reset_parameters()
    return unet.eval()


def without_maps(backbone: DiffusionUNet, config: dict) -> DiffusionUNet:
    """Build the backbone without cross-attention maps, on the same weights."""
    with torch.device('meta'):
        plain = MODELS.build(dict(config, cross_attention=None))
    plain.load_state_dict(backbone.state_dict(), assign=True)
    return plain.eval()


def inference_subjects(
    model: nn.Module, config: dict, inputs: torch.Tensor, test_mode: bool = False, compiled: bool = False
) -> dict[str, Callable]:
    """Return the functions to measure, by name. They take no arguments and run one forward pass.

    Args:
        model (nn.Module): The model, in evaluation mode.
        config (dict): The config of its backbone.
        inputs (Tensor): Images ``(B, 3, H, W)``.
        test_mode (bool): Also run the test mode of the config. Defaults to False.
        compiled (bool): Also compile the blocks of networks besides the model. Defaults to False.
    """
    backbone = model.backbone
    prompt_embeds = backbone.prompts(len(inputs))
    vae, unet = backbone.autoencoder.vae, stock_unet(backbone)
    size = backbone.autoencoder.encoded_size(inputs.shape[-2:])
    images, pooled = F.interpolate(inputs, size), backbone.prompts.embed_pooled(len(inputs))
    conditions = backbone.inputs.conditions(len(inputs), pooled, size)
    if compiled:
        compile_blocks(unet)

    def floor():
        encoded = vae.encode(images)
        latents = encoded.latents if backbone.autoencoder.is_tiny else encoded.latent_dist.mode()
        return unet(backbone.inputs(latents), backbone.timesteps[0], encoder_hidden_states=prompt_embeds, **conditions)

    subjects = {'floor': floor, 'backbone': lambda: backbone(inputs), 'model': lambda: model(inputs, mode='tensor')}
    if backbone.cross_attention is not None:
        plain = without_maps(backbone, config)
        if compiled:
            compile_blocks(plain)
        subjects['backbone without maps'] = lambda: plain(inputs)
    if test_mode:
        subjects['test mode'] = lambda: run_test_mode(model, inputs)
    return subjects


def run_test_mode(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """Predict in the test mode of an mmseg model, which may divide the images into windows."""
    size = tuple(inputs.shape[-2:])
    return model.inference(inputs, [dict(ori_shape=size, img_shape=size, pad_shape=size) for _ in inputs])


def run_halved(model: nn.Module, inputs: torch.Tensor, args) -> torch.Tensor:
    """Run a model in half precision, in its test mode if the options say so."""
    with autocast_for(inputs.device, getattr(torch, args.weights_dtype)):
        return run_test_mode(model, inputs) if args.test_mode else model(inputs, mode='tensor')


def training_losses(model: nn.Module, inputs: torch.Tensor) -> Callable:
    """Return a function that computes the losses of an mmseg model for random labels or random depth."""
    from mmengine.structures import PixelData
    from mmseg.models import DepthEstimator
    from mmseg.structures import SegDataSample

    head, size = model.decode_head, (len(inputs), 1, *inputs.shape[-2:])
    if isinstance(model, DepthEstimator):
        name, truths = 'gt_depth_map', torch.rand(size, device=inputs.device) * head.max_depth
    else:
        name, truths = 'gt_sem_seg', torch.randint(head.num_classes, size, device=inputs.device)
    samples = [SegDataSample(**{name: PixelData(data=truth)}) for truth in truths]
    return lambda: model(inputs, samples, mode='loss')


def optim_wrapper_of(model: nn.Module, cfg: Config) -> OptimWrapper:
    """Build the optimizer of the config. Ignore the type of its wrapper, because ``--dtype`` sets the precision."""
    wanted = ('constructor', 'optimizer', 'paramwise_cfg')
    return build_optim_wrapper(model, {key: cfg.optim_wrapper[key] for key in wanted if key in cfg.optim_wrapper})


def measure_inference(model, cfg, inputs, args) -> dict[str, dict]:
    """Measure the floor, the backbone and the model in evaluation mode."""
    model.eval()
    with torch.no_grad(), autocast(args):
        subjects = inference_subjects(model, cfg.model.backbone, inputs, args.test_mode, args.compile)
        if args.weights_dtype:
            halved = halve(copy.deepcopy(model), args.weights_dtype)
            if args.compile:
                compile_blocks(halved)
            subjects[f'model in {args.weights_dtype}'] = lambda: run_halved(halved, inputs, args)
        return with_ratios(measure(subjects, args.repeats, inputs.device))


def measure_training(model, cfg, inputs, args) -> dict[str, dict]:
    """Measure a training step: losses, backward pass and optimizer."""
    model.train()
    losses, optim_wrapper = training_losses(model, inputs), optim_wrapper_of(model, cfg)

    def step():
        with autocast(args):
            loss, _ = model.parse_losses(losses())
        optim_wrapper.update_params(loss)

    return measure({'training step': step}, args.repeats, inputs.device)


def autocast(args):
    """Return the autocast context for ``--dtype``."""
    dtype = getattr(torch, args.dtype)
    return nullcontext() if dtype == torch.float32 else torch.autocast(torch.device(args.device).type, dtype)


def measure(subjects: dict[str, Callable], repeats: int, device: torch.device) -> dict[str, dict]:
    """Run the subjects in turns, after a warm-up and two runs that measure memory.

    Returns:
        dict[str, dict]: For each subject, ``seconds`` (the median of ``turns``) and ``peak_memory_mib`` (None if
        unknown).
    """
    peaks, turns = {}, {name: [] for name in subjects}
    with progress(None, 'measure', 'run', total=len(subjects) * (1 + repeats)) as bar:
        for name, run in subjects.items():
            run()
            peaks[name] = peak_memory(run, device)
            bar.update()
        for turn in range(repeats):
            # Alternate the order, so that no subject always follows the same one.
            for name in sorted(subjects, reverse=turn % 2):
                turns[name].append(seconds(subjects[name], device))
                bar.update()
    return {
        name: dict(seconds=median(turns[name]), peak_memory_mib=peaks[name], turns=turns[name]) for name in subjects
    }


def seconds(run: Callable, device: torch.device) -> float:
    """Return the seconds that ``run`` takes, including pending work on the device."""
    synchronize = partial(torch.cuda.synchronize, device) if device.type == 'cuda' else lambda: None
    synchronize()
    start = time.perf_counter()
    run()
    synchronize()
    return time.perf_counter() - start


def peak_memory(run: Callable, device: torch.device) -> float | None:
    """Return the peak memory of ``run`` in MiB, as the minimum of two runs; None if the system does not report it."""
    if device.type == 'cuda':
        measured = partial(allocated_by, device=device)
    elif (PROC / 'clear_refs').exists():
        measured = resident_by
    else:
        return None
    return min(measured(run), measured(run))


def allocated_by(run: Callable, device: torch.device) -> float:
    """Return the peak of the tensors that ``run`` allocates on the GPU, in MiB."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return (torch.cuda.max_memory_allocated(device) - before) / MIB


def resident_by(run: Callable) -> float:
    """Return the peak growth of the resident memory of the process during ``run``, in MiB."""
    gc.collect()
    # The C library keeps freed memory. If it is not returned first, the run seems to need less memory than it does.
    ctypes.CDLL(None).malloc_trim(0)
    (PROC / 'clear_refs').write_text('5')  # resets the peak to the current size, see proc(5)
    before = peak_resident_size()
    run()
    return (peak_resident_size() - before) / MIB


def peak_resident_size() -> int:
    """Return the peak resident size of the process since the last reset, in bytes."""
    line = next(line for line in (PROC / 'status').read_text().splitlines() if line.startswith('VmHWM'))
    return int(line.split()[1]) * 1024


def with_ratios(results: dict[str, dict]) -> dict[str, dict]:
    """Add the ratios to the floor to each result; ratios of times are medians over the turns."""
    floor = results['floor']
    for result in results.values():
        result['time_ratio'] = median(own / least for own, least in zip(result['turns'], floor['turns'], strict=True))
        known = floor['peak_memory_mib']
        result['memory_ratio'] = result['peak_memory_mib'] / known if known else None
    return results


def table(results: dict[str, dict]) -> str:
    """Format the results as a table."""
    columns = dict(seconds='.3f', time_ratio='.3f', peak_memory_mib='.1f', memory_ratio='.3f')
    lines = [f'{"":24}' + ''.join(f'{column:>18}' for column in columns)]
    for name, result in results.items():
        known = {column: result.get(column) for column in columns}
        cells = ('-' if known[column] is None else format(known[column], form) for column, form in columns.items())
        lines.append(f'{name:24}' + ''.join(f'{cell:>18}' for cell in cells))
    return '\n'.join(lines)


def read_config(args) -> Config:
    """Read the config that the arguments name, with their options."""
    MMLogger.get_instance('benchmark', log_level='ERROR')  # otherwise the optimizer options fill the screen
    cfg = config_imports.read_config(args.config)
    cfg.merge_from_dict(args.cfg_options or {})
    return cfg


def check_host(cfg: Config, args):
    """Refuse ``--train`` and ``--test-mode`` for a model of another host than mmseg.

    Raises:
        ValueError: The config belongs to another host.
    """
    for option in ('train', 'test_mode'):
        if getattr(args, option) and (scope := cfg.get('default_scope')) != 'mmseg':
            raise ValueError(f'--{option.replace("_", "-")}: expected a config of mmseg, got one of {scope}')


def options_of(args) -> dict:
    """Return the options of a measurement."""
    return {name: value for name, value in vars(args).items() if name != 'out_file'}


def benchmark(args) -> dict:
    """Run the measurements that the arguments select, and return the results together with the settings."""
    cfg = read_config(args)
    check_host(cfg, args)
    model = build_model(cfg).to(args.device)
    if args.compile:
        compile_blocks(model)
    inputs = torch.rand(args.batch_size, 3, *args.size, device=args.device) * 2 - 1
    results = measure_inference(model, cfg, inputs, args)
    if args.train:
        results |= measure_training(model, cfg, inputs, args)
    setting = dict(arch=model.backbone.arch, torch=torch.__version__, threads=torch.get_num_threads())
    return dict(options_of(args), **setting, results=results)
