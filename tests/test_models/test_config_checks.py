import re

import pytest

from mmdiffperc.models.config_checks import (
    check_given,
    check_init_cfg,
    check_lora,
    check_out_strides,
    check_prompts_cfg,
    check_refine_steps,
    check_timestep,
)


@pytest.mark.parametrize('timestep', [0, 1, 999])
def test_timestep(timestep):
    assert check_timestep(timestep) == timestep


@pytest.mark.parametrize('timestep', [1000, -3, '1', 1.0, None])
def test_bad_timestep(timestep):
    with pytest.raises(ValueError, match=f'timestep={timestep!r}: expected a whole number from 0 to 999'):
        check_timestep(timestep)


def test_refine_steps():
    assert check_refine_steps(1, (2, 3)) == 1
    assert check_refine_steps(3, (0, 2)) == 3
    with pytest.raises(ValueError, match=r'num_refine_steps=2 needs the finest level.*out_indices=\(1, 2\)'):
        check_refine_steps(2, [1, 2])


@pytest.mark.parametrize('number', [0, -1, 1.5, '2', None])
def test_bad_refine_steps(number):
    with pytest.raises(ValueError, match=f'num_refine_steps={number!r}: expected the number of passes, 1 or more'):
        check_refine_steps(number, (0, 1))


def test_out_strides():
    assert check_out_strides(None, [8, 16]) == (8, 16)
    assert check_out_strides([4, 8], [8, 16]) == (4, 8)


@pytest.mark.parametrize('strides', [4, (), (4,), (4, 8, 16), (4, 0), (4, 8.0), '48'])
def test_bad_out_strides(strides):
    message = rf'out_strides={strides!r}: expected a stride .* each of the 2 features .* whose own are (8, 16)'
    with pytest.raises(ValueError, match=message.replace('(', r'\(').replace(')', r'\)')):
        check_out_strides(strides, [8, 16])


def test_lora_and_prompts():
    assert check_lora(dict(r=8)) == dict(r=8)
    with pytest.raises(ValueError, match=r'lora=8: expected arguments of peft.LoraConfig, such as dict\(r=8\)'):
        check_lora(8)
    assert check_prompts_cfg(dict(type='MetaPrompts')) == dict(type='MetaPrompts')
    with pytest.raises(ValueError, match="prompts={'num_prompts': 5}: expected a config such as"):
        check_prompts_cfg(dict(num_prompts=5))


def test_given_by_hand():
    check_given(dict(type='MetaPrompts', embed_dims=12, shared=False), dict(embed_dims=12, num_refine_steps=3))
    with pytest.raises(ValueError, match='MetaPrompts has num_refine_steps=2, but the backbone has 3: leave'):
        check_given(dict(type='MetaPrompts', num_refine_steps=2), dict(embed_dims=12, num_refine_steps=3))


@pytest.mark.parametrize(
    'init_cfg',
    [
        None,
        dict(type='Pretrained', checkpoint='sd.ckpt', use_ema=True),
        dict(type='Pretrained', checkpoint='a/b', variant='fp16', components=['vae']),
        dict(type='Pretrained', checkpoint='segmentor.pth', prefix='backbone.', map_location='cpu'),
        dict(type='Kaiming', layer='Conv2d'),
    ],
)
def test_init_cfg(init_cfg):
    assert check_init_cfg(init_cfg) == init_cfg


@pytest.mark.parametrize(
    ('init_cfg', 'message'),
    [
        ('tiny-sd', "init_cfg='tiny-sd': expected dict(type='Pretrained', checkpoint=...)"),
        ([dict(type='Pretrained', checkpoint='tiny-sd')], "expected dict(type='Pretrained', checkpoint=...)"),
        (dict(checkpoint='tiny-sd'), "expected dict(type='Pretrained', checkpoint=...)"),
        (dict(type='Pretrained'), 'expected a checkpoint, which is a hub id, a folder or a file'),
        (dict(type='Pretrained', checkpoint=None), 'expected a checkpoint, which is a hub id, a folder or a file'),
        (dict(type='Pretrained', checkpoint='sd', ema=True), 'init_cfg has ema: expected some of checkpoint, co'),
        (dict(type='Pretrained', checkpoint='sd', prefix='a.', use_ema=True), 'init_cfg has use_ema: expected some of'),
        (dict(type='Pretrained', checkpoint='sd', components=('unett',)), "has components=('unett',): expected a list"),
        (dict(type='Pretrained', checkpoint='sd', components='vae'), "has components='vae': expected a list"),
    ],
)
def test_bad_init_cfg(init_cfg, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_init_cfg(init_cfg)
