import re

import pytest

from mmdiffperc.models.config_checks import (
    AttentionLora,
    GeneratorInitCfg,
    InitCfg,
    Lora,
    Passes,
    Schedule,
    Timestep,
    check_out_strides,
    check_refine_steps,
)
from mmdiffperc.validation import Validator

SOURCE = dict(type='Pretrained', checkpoint='sd')
GOOD = [
    (Timestep, 0),
    (Timestep, 999),
    (Passes, 3),
    (InitCfg, dict(type='Pretrained', checkpoint='sd.ckpt', use_ema=True)),
    (InitCfg, dict(type='Pretrained', checkpoint='a/b', variant='fp16', components=['vae'])),
    (InitCfg, dict(type='Pretrained', checkpoint='segmentor.pth', prefix='backbone.', map_location='cpu')),
    (InitCfg, dict(type='Kaiming', layer='Conv2d')),
    (GeneratorInitCfg, dict(SOURCE, components=('text_encoder',))),
    (Lora, dict(r=8)),
    (Lora, dict(r=8, lora_alpha=16, lora_dropout=0.1, target_modules=['to_q'], init_lora_weights='gaussian')),
    (AttentionLora, dict(attention='self', target_modules=r'.*\.to_q')),
    (Schedule, dict(timestep_spacing='trailing', steps_offset=1, clip_sample=False)),
]
BAD = [
    (Timestep, 1000, 'it=1000'),
    (Timestep, -3, 'it=-3'),
    (Timestep, '1', "it='1'"),
    (Timestep, 1.0, 'it=1.0'),
    (Timestep, None, 'it=None'),
    (Passes, 0, 'it=0'),
    (Passes, 10**9, 'it=1000000000'),
    (InitCfg, 'tiny-sd', "it='tiny-sd'"),
    (InitCfg, [SOURCE], "dict(type='Pretrained', checkpoint=...)"),
    (InitCfg, dict(checkpoint='tiny-sd'), "dict(type='Pretrained', checkpoint=...)"),
    (InitCfg, dict(type='Pretrained'), "it={'type': 'Pretrained'}"),
    (InitCfg, dict(SOURCE, checkpoint=None), 'it.checkpoint=None'),
    (InitCfg, dict(SOURCE, checkpoint=''), "it.checkpoint=''"),
    (InitCfg, dict(SOURCE, ema=True), "'ema'"),
    (InitCfg, dict(SOURCE, prefix='a.', use_ema=True), "'use_ema'"),
    (InitCfg, dict(SOURCE, components=('unett',)), "it.components[0]='unett'"),
    (InitCfg, dict(SOURCE, components='vae'), "it.components='vae'"),
    (InitCfg, dict(SOURCE, components=()), 'it.components=()'),
    (Lora, 8, 'it=8'),
    (Lora, dict(attention='self'), "'attention'"),
    (AttentionLora, dict(attention='cross'), "it.attention='cross'"),
    (Lora, dict(r=True), 'it.r=True'),
    (Lora, dict(r=10**8), 'it.r=100000000'),
    (Schedule, 'x', "it='x'"),
    (Schedule, dict(foo=1), "'foo'"),
    (Schedule, dict(num_train_timesteps=0), 'it.num_train_timesteps=0'),
]


@pytest.mark.parametrize(('kind', 'value'), GOOD)
def test_what_fits(kind, value):
    Validator(kind).check('it', value)


@pytest.mark.parametrize(('kind', 'value', 'message'), BAD)
def test_what_does_not_fit(kind, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Validator(kind).check('it', value)


def test_refine_steps():
    last = 'up_blocks.3'
    assert check_refine_steps(1, last, ['mid_block']) == 1
    assert check_refine_steps(3, last, ['mid_block', last]) == 3
    with pytest.raises(ValueError, match=r'num_refine_steps=2.*up_blocks\.3.*mid_block, up_blocks\.0'):
        check_refine_steps(2, last, ['mid_block', 'up_blocks.0'])


def test_out_strides():
    assert check_out_strides(None, [8, 16]) == (8, 16)
    assert check_out_strides([4, 8], [8, 16]) == (4, 8)


@pytest.mark.parametrize('strides', [(4,), (4, 8, 16)])
def test_bad_out_strides(strides):
    named = re.escape(f'out_strides={strides!r}')
    with pytest.raises(ValueError, match=rf'{named}.*\b2\b.*\(8, 16\)'):
        check_out_strides(strides, [8, 16])
