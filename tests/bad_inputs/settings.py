"""Settings that are of the right type and still cannot be meant, alone or together."""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import chain
from pathlib import Path
from tempfile import mkdtemp

import torch
from mmengine.registry import METRICS, MODELS, TRANSFORMS
from tiny_arch import write_arch

from mmdiffperc.models import DiffusionUNet

from .case import Case

NAN = float('nan')
BIG = 10**9
SOURCE = dict(type='Pretrained', checkpoint='tiny-sd')
CLASSES = dict(type='ClassPrompts', classes=['a', 'b'])

# argument -> values
BACKBONE = {
    'arch': [
        'sd9',
        '/nowhere',
        'stabilityai/sd',
        '..',
        'sd1-5\n',
        'taesd',
        dict(unet='sd1-5'),
        dict(unet='sd1-5', vae='nope'),
        dict(unet='sd1-5', vae='taesd', vea='taesd'),
        dict(unet='taesd', vae='taesd'),
    ],
    'extra_latents': ['marigolds', 'noise', [], ['image', 'mask'], 4, ['scaled image', 'noise']],
    'guidance_scale': [0, -1, NAN, '8', 8.0],
    'task_embedding': [(1,), (1, NAN), 'depth'],
    'reconstruction_weight': [1.0, -1.0, NAN, '1'],
    'latent_std': [0, -5.0, NAN, '5'],
    'sample_latents': ['yes', 1],
    'out_indices': [(0, 4), (-1,), (0.0,), ('0',), (True,), {0: 1}, (BIG,)],
    'taps': [
        ['up_blok.1'],
        ['mid_block', 'mid_block'],
        ['up_blocks.1.attentions.1.transformer_blocks.0.attn2.to_k'],
        [dict(module='mid_block', tensor='input')],
        [dict(module=['mid_block', 'up_blocks.3'])],
        [dict(modul='mid_block')],
        [dict(module=[])],
    ],
    'out_strides': [(8,), (8, 16), (8, 16, 32, 0), (8, 16, 32, -64), (8, 16, 32, BIG), (8.0, 16.0, 32.0, 64.0), 'auto'],
    'prompts': [
        dict(type='Nobody'),
        dict(type='MetaPrompts'),
        dict(type='MetaPrompts', num_prompts=BIG),
        dict(type='MetaPrompts', num_prompts=3, adapter='TextAdapter'),
        dict(type='MetaPrompts', num_prompts=3, adapter=dict(type='TextAdapter', gama=1.0)),
        dict(type='MetaPrompts', num_prompts=3, num_refine_steps=2),
        dict(type='MetaPrompts', num_prompts=3, embed_dims=7),
        dict(type='ClassPrompts', templates=['a {}']),
        dict(type='ClassPrompts', classes='nope_dataset'),
        dict(type='ClassPrompts', classes='["a"]'),
        dict(type='ClassPrompts', classes=['a', 3]),
        dict(type='ClassPrompts', classes=['a', None]),
        dict(type='ClassPrompts', classes=[['a'], ['b']]),
        dict(type='ClassPrompts', classes={'a', 'b'}),
        dict(type='ClassPrompts', classes={'a': 0}),
        dict(type='ClassPrompts', classes=['a', '']),
        dict(type='ClassPrompts', classes=['a', ' \t']),
        dict(type='ClassPrompts', classes=['a\nb', 'c']),
        dict(type='ClassPrompts', classes=['a\0b', 'c']),
        dict(type='ClassPrompts', classes=['a', 'a']),
        dict(type='ClassPrompts', classes=['a'], templates=['no place']),
        dict(type='ClassPrompts', classes=['a'], templates=['{} {}']),
        dict(type='ClassPrompts', classes=['a'], templates='a {}'),
        dict(type='ClassPrompts', classes=['a'], max_length=2),
        dict(type='ClassPrompts', classes=['a'], max_length=78),
        dict(type='ClassPrompts', classes=['a'], adapter=dict(gamma=1.0)),
        dict(type='ClassPrompts', classes=['a'], adapter=dict(type='TextAdapter', gamma='x')),
        dict(type='ClassPrompts', classes=['a'], adapter=dict(type='TextAdapter', gamma=NAN)),
        dict(type='ClassPrompts', classes=['a'], template=['a {}']),
        dict(type='TextPrompts', max_length=1),
        dict(type='TextPrompts', max_length=500),
        dict(type='TextPrompts', cache_size=-1),
        dict(type='TextPrompts', checkpoint=''),
        dict(type='CaptionPrompts', new_tokens={'a b': 'x.bin'}),
        dict(type='CaptionPrompts', new_tokens={'<a>': dict(file='x.bin', num_vector=2)}),
        dict(type='CaptionPrompts', new_tokens={'<|endoftext|>': 'x.bin'}),
        dict(type='CaptionPrompts', new_tokens='x.bin'),
        dict(type='CombinedPrompts', parts=dict(type='MetaPrompts', num_prompts=3)),
        dict(type='CombinedPrompts', parts=[dict(num_prompts=3)]),
        dict(type='CombinedPrompts', parts=[dict(type='CaptionPrompts'), dict(type='ImageClassPrompts')]),
        dict(type='ImageClassPrompts', classifier='/nowhere'),
        dict(type='ImageClassPrompts', classifier=dict(layers=3)),
        dict(type='ImageClassPrompts', classifier=dict(hidden_size=10, num_attention_heads=3)),
        dict(type='ImageTokenPrompts'),
        dict(type='ClassTokenPrompts', classes=['tree ' * 80 + '.']),
    ],
    'cross_attention': [
        dict(strides=(16, 16)),
        dict(strides=(16.0, 32.0)),
        dict(strides=(4,)),
        dict(strides=(64,)),
        dict(strides=(0,)),
        dict(strides=()),
        dict(strides='16'),
        dict(strides=16),
        dict(stride=(16,)),
        dict(with_grad='yes'),
        dict(with_grad=None),
        dict(type='Nobody'),
    ],
    'timestep': [1000, -3, True, 2.0, '1', (1, 1000), (1.5,), ()],
    'timestep_fusion': ['sum'],
    'noise': ['gaussian'],
    'num_refine_steps': [BIG, 0, True, 2.0],
    'lora': [
        dict(r=0),
        dict(r=-1),
        dict(r='4'),
        dict(r=2.5),
        dict(r=True),
        dict(r=BIG),
        dict(r=4, lora_alpha=NAN),
        dict(r=4, lora_alpha=-1),
        dict(r=4, lora_alpha=0),
        dict(r=4, lora_alpha='x'),
        dict(r=4, lora_dropout=-0.1),
        dict(r=4, lora_dropout=1.5),
        dict(r=4, lora_dropout=1),
        dict(r=4, target_modules=['nope']),
        dict(r=4, target_modules='['),
        dict(r=4, target_modules='nope'),
        dict(r=4, target_modules=[]),
        dict(r=4, target_modules=[1]),
        dict(r=4, use_dora=True),
        dict(r=4, use_dora='yes'),
        dict(r=4, init_lora_weights='pissa'),
        dict(rank=4),
        [4],
        4,
    ],
    'init_cfg': [
        dict(type='Pretrained'),
        dict(type='Pretrained', checkpoint=None),
        dict(type='Pretrained', checkpoint=''),
        dict(type='Pretrained', checkpoint=5),
        dict(SOURCE, components=()),
        dict(SOURCE, components='unet'),
        dict(SOURCE, components=['unett']),
        dict(SOURCE, components=['text_encoder']),
        dict(SOURCE, variant=16),
        dict(SOURCE, lora=5),
        dict(SOURCE, checkpoint=dict(unett='tiny-sd')),
        dict(SOURCE, checkpoint=dict(unet=5)),
        dict(SOURCE, checkpoint=['tiny-sd']),
        dict(SOURCE, use_ema='yes'),
        dict(SOURCE, ema=True),
        dict(SOURCE, prefix=5),
        dict(SOURCE, prefix='backbone.', variant='fp16'),
        dict(checkpoint='tiny-sd'),
        [SOURCE],
        'tiny-sd',
    ],
}
TOGETHER = [
    (dict(num_refine_steps=2, out_indices=(1, 2)), 'num_refine_steps'),
    (dict(resize_skips=True, cross_attention=dict(strides=(16,))), 'resize_skips'),
    (dict(resize_skips=True, out_strides=(4, 8, 16, 32)), 'resize_skips'),
    (dict(out_indices=(0, 2), cross_attention=dict(strides=(16,))), 'strides'),
    (dict(out_indices=(0,), out_strides=(8, 16)), 'out_strides'),
    (dict(out_indices=(0,), taps=['mid_block']), 'taps'),
    (dict(timestep=(1, 2), learned_timesteps=True), 'timestep'),
]
GENERATOR = {
    'target_mode': ['L', 'rgb', 'RGBA'],
    'target_scale': [8.0, 0, -1, NAN, 'auto', 'per_image'],
    'guidance_scale': [-1, NAN, float('inf'), '2'],
    'num_steps': [0, 1000, 1001, BIG, 2.5],
    'scheduler': [
        dict(foo=1),
        dict(num_train_timesteps=0),
        dict(num_train_timesteps=1),
        dict(num_train_timesteps='1000'),
        dict(timestep_spacing='middle'),
        dict(steps_offset=-1),
        dict(beta_start=NAN),
        dict(beta_end=2.0),
        dict(beta_schedule='flat'),
        'ddim',
    ],
    'snr_trunc': [NAN, 0, -1],
    'snr_gamma': [NAN, 0, float('inf')],
    'lora': [dict(r=0), dict(r='x'), dict(attention='cross'), dict(attention=None), dict(rank=3)],
    'init_cfg': [
        dict(type='Pretrained'),
        dict(SOURCE, components=['tokenizer']),
        dict(SOURCE, components=[]),
        dict(SOURCE, use_ema=1),
    ],
    'data_preprocessor': [
        dict(mean=[1]),
        dict(type='ImgDataPreprocessor', mean=[1], std=[0]),
        dict(type='ImgDataPreprocessor', mean=[127.5] * 3, std=[127.5, 0, 127.5]),
        dict(type='ImgDataPreprocessor', mean=[NAN] * 3, std=[127.5] * 3),
        dict(type='ImgDataPreprocessor', mean=[0.5] * 3, std=[0.5] * 3, bgr_to_rgb=True),
        dict(type='ImgDataPreprocessor', mean=[127.5] * 3, std=[127.5] * 3),
    ],
}
GENERATOR_TOGETHER = [
    (dict(guidance_scale=2.0, use_prompts=False), 'guidance_scale'),
    (dict(guidance_scale=2.0, sampler='one_pass', prediction_type='sample'), 'guidance_scale'),
    (dict(sampler='one_pass'), 'prediction_type'),
    (dict(snr_trunc=5.0, snr_gamma=1.0), 'snr_trunc'),
]
# type, arguments, what the message names
NECKS = [
    ('MetaPromptsNeck', dict(in_channels=[8], num_prompts=3, embed_dims=20), 'embed_dims'),
    ('MetaPromptsNeck', dict(in_channels=[8], num_prompts=3, embed_dims=16, num_groups=3), 'num_groups'),
    ('MetaPromptsNeck', dict(in_channels=8, num_prompts=3, embed_dims=16), 'in_channels'),
    ('MetaPromptsNeck', dict(in_channels='88', num_prompts=3, embed_dims=16), 'in_channels'),
    ('MetaPromptsNeck', dict(in_channels=[BIG], num_prompts=3, embed_dims=16), 'in_channels'),
    ('MetaPromptsDepthNeck', dict(in_channels=[16], num_prompts=3, embed_dims=97), 'embed_dims'),
    ('MetaPromptsDepthNeck', dict(in_channels=[8, 16], num_prompts=3, embed_dims=16), 'in_channels'),
    ('MetaPromptsDepthNeck', dict(in_channels=[], num_prompts=3, embed_dims=16), 'in_channels'),
    ('FinerLevelNeck', dict(in_channels=[1, 8]), 'in_channels'),
    ('FinerLevelNeck', dict(in_channels=[]), 'in_channels'),
]
OTHERS = [
    (TRANSFORMS, 'LoadTarget', dict(mode='L'), 'mode'),
    (TRANSFORMS, 'LoadTarget', dict(mode='F', rescale_factor='0.001'), 'rescale_factor'),
    (TRANSFORMS, 'LoadTarget', dict(mode='RGB', rescale_factor=0.5), 'rescale_factor'),
    (TRANSFORMS, 'LoadTarget', dict(mode='normals', axes='xyz'), 'axes'),
    (TRANSFORMS, 'LoadTarget', dict(mode='F', invalid='mask', valid_range=(80, 0.1)), 'valid_range'),
    (MODELS, 'ImageLoss', dict(norm='L1'), 'norm'),
    (MODELS, 'LatentLoss', dict(loss_name='depth'), 'loss_name'),
    (TRANSFORMS, 'mmseg.KBCrop', dict(size=(352,)), 'size'),
    (TRANSFORMS, 'mmseg.KBCrop', dict(size=(352, 1216, 3)), 'size'),
    (TRANSFORMS, 'mmseg.KBCrop', dict(size=(352.5, 1216)), 'size'),
    (TRANSFORMS, 'mmseg.KBCrop', dict(size=352), 'size'),
    (TRANSFORMS, 'mmseg.CheckDepth', dict(max_depth='80'), 'max_depth'),
    (TRANSFORMS, 'mmseg.CheckLabels', dict(num_classes='3'), 'num_classes'),
    (TRANSFORMS, 'mmseg.LoadReferringMask', dict(size=3), 'size'),
    (METRICS, 'NormalMapMetric', dict(measures=['angle']), 'angle'),
    (METRICS, 'NormalMapMetric', dict(measures='l1'), 'measures'),
    (METRICS, 'NormalMapMetric', dict(measures=[]), 'measures'),
    (METRICS, 'ImageErrorMetric', dict(measures=['lpips']), 'lpips'),
    (METRICS, 'ImageErrorMetric', dict(mesures=['l1']), 'mesures'),
    (METRICS, 'DepthMapMetric', dict(min_depth=2.0, max_depth=1.0), 'min_depth'),
    (METRICS, 'DepthMapMetric', dict(min_depth=0), 'min_depth'),
    (METRICS, 'DepthMapMetric', dict(max_depth=NAN), 'max_depth'),
    (METRICS, 'DepthMapMetric', dict(measures=['abs_rel'], normalise=True), 'normalise'),
    (METRICS, 'DepthMapMetric', dict(align='median', normalise=True), 'normalise'),
    (METRICS, 'DepthMapMetric', dict(align='ransac'), 'align'),
    (METRICS, 'DepthMapMetric', dict(max_align_size=0), 'max_align_size'),
    (METRICS, 'DepthMapMetric', dict(per_image_file='table.xlsx'), 'per_image_file'),
    (METRICS, 'ZeroShotDepthMetric', dict(protocol='nyu'), 'protocol'),
    (TRANSFORMS, 'FollowProtocol', dict(protocol='nyu'), 'protocol'),
    (METRICS, 'ColouredSegMetric', dict(palette='nobody'), 'palette'),
    (METRICS, 'ColouredSegMetric', dict(palette=[[300, 0, 0]]), 'palette'),
    (METRICS, 'ColouredSegMetric', dict(palette=[[0.5, 0.5, 0.5]]), 'palette'),
    (METRICS, 'ColouredSegMetric', dict(palette=[[0, 0, 0, 0]]), 'palette'),
    (METRICS, 'ColouredSegMetric', dict(palette=[0, 0, 0]), 'palette'),
    (METRICS, 'ColouredSegMetric', dict(palette=[[0, 0, 0]], classes=[1]), 'classes'),
    (METRICS, 'ColouredSegMetric', dict(palette=[[0, 0, 0]], classes=[-1]), 'classes'),
    (METRICS, 'mmseg.MonocularDepthMetric', dict(depth_metrics=['mae']), 'depth_metrics'),
    (METRICS, 'mmseg.MonocularDepthMetric', dict(crop_type='garg'), 'crop_type'),
    (METRICS, 'mmseg.MonocularDepthMetric', dict(align='lsq'), 'align'),
    (METRICS, 'mmseg.MonocularDepthMetric', dict(min_depth_eval=10.0, max_depth_eval=10.0), 'min_depth_eval'),
    (METRICS, 'mmseg.MonocularDepthMetric', dict(format_only=True), 'output_dir'),
    (METRICS, 'mmseg.MonocularDepthMetric', dict(max_depth_eval=80.0, output_dir='out'), 'max_depth_eval'),
    (METRICS, 'mmseg.ReferringSegMetric', dict(thresholds=[50]), 'thresholds'),
    (METRICS, 'mmseg.ReferringSegMetric', dict(thresholds=[0.5, 0]), 'thresholds'),
    (METRICS, 'mmseg.ReferringSegMetric', dict(thresholds='0.5'), 'thresholds'),
    (MODELS, 'mmseg.MaskedCrossEntropyLoss', dict(class_weight=[1.0, NAN]), 'class_weight'),
    (MODELS, 'mmseg.MaskedCrossEntropyLoss', dict(class_weight=[1.0, -1.0]), 'class_weight'),
    (MODELS, 'mmseg.MaskedCrossEntropyLoss', dict(class_weight=2.0), 'class_weight'),
]


def cases() -> Iterator[Case]:
    """Of backbone, generator, necks, transforms, metrics and losses."""
    yield from _of_arguments('DiffusionUNet', BACKBONE, TOGETHER)
    yield from _of_arguments('DeterministicDiffusion', GENERATOR, GENERATOR_TOGETHER)
    for kind, arguments, name in NECKS:
        yield Case(kind, _title(arguments), partial(build, MODELS, kind, **arguments), (name,))
    for registry, kind, arguments, name in OTHERS:
        yield Case(kind, _title(arguments), partial(build, registry, kind, **arguments), (name,))
    for title, spoil in SPOILT.items():
        yield Case('DiffusionUNet', f'arch with {title}', partial(_build_spoilt, spoil), ('config.json',))


def build(registry, kind: str, **arguments):
    """Build an object of a registry, without memory for its weights."""
    with torch.device('meta'):
        return registry.build(dict(arguments, type=kind))


def _of_arguments(kind, values, together):
    for name, several in values.items():
        for value in several:
            yield Case(kind, f'{name}={value!r:.120}', partial(_build_tiny, kind, {name: value}), _keys({name: value}))
    for arguments, name in together:
        yield Case(kind, _title(arguments), partial(_build_tiny, kind, arguments), (name,))


def _keys(arguments) -> tuple[str, ...]:
    """Names of arguments, those of inner configs included."""
    inner = [_keys(value) for value in arguments.values() if isinstance(value, dict)]
    return (*(str(key) for key in arguments if key != 'type'), *chain.from_iterable(inner))


def _build_tiny(kind, arguments):
    arch = tiny_arch() if kind == 'DiffusionUNet' else 'tiny-sd'
    with torch.device('cpu' if 'data_preprocessor' in arguments else 'meta'):
        return MODELS.build(dict(dict(type=kind, arch=arch), **arguments))


@cache
def tiny_arch() -> str:
    """The folder of an architecture that builds in no time."""
    return write_arch(_folder() / 'arch')


def _title(arguments):
    return ', '.join(f'{name}={value!r:.40}' for name, value in arguments.items())


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix='cases-'))


def _write(text: str) -> Callable[[Path], None]:
    return lambda arch: (arch / 'unet' / 'config.json').write_text(text)


SPOILT = {
    'broken JSON': _write('{'),
    'a list': _write('[]'),
    'a number': _write('5'),
    'nothing in it': _write(''),
    'deep nesting': _write('[' * 100000),
    "the autoencoder's config": lambda arch: shutil.copy(arch / 'vae' / 'config.json', arch / 'unet' / 'config.json'),
    'no config of the autoencoder': lambda arch: (arch / 'vae' / 'config.json').unlink(),
    'bytes': lambda arch: (arch / 'unet' / 'config.json').write_bytes(b'\xff\xfe\x00'),
    "another network's config": _write(json.dumps(dict(_class_name='SD3Transformer2DModel'))),
}


def _build_spoilt(spoil):
    folder = Path(mkdtemp(dir=_folder()))
    arch = Path(write_arch(folder / 'arch'))
    spoil(arch)
    try:
        with torch.device('meta'):
            return DiffusionUNet(str(arch))
    finally:
        shutil.rmtree(folder)
