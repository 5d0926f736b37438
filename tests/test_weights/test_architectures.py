import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler
from tiny_arch import write_arch, write_changed_arch

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.weights.architectures import (
    arch_folder,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    build_vae,
    latent_scaling,
    text_parts,
)
from mmdiffperc.weights.network_inputs import overflows_in_half, pooled_width


@pytest.mark.parametrize(
    'arch, width, linear, unet_size, text_size',
    [
        ('sd1-4', 768, False, 859_520_964, 123_060_480),
        ('sd1-5', 768, False, 859_520_964, 123_060_480),
        ('sd2-1', 1024, True, 865_910_724, 340_387_840),
    ],
)
def test_presets_have_the_published_sizes(arch, width, linear, unet_size, text_size):
    with torch.device('meta'):
        unet, vae, text_encoder = build_unet(arch), build_vae(arch), build_text_encoder(arch)
    assert sum(p.numel() for p in unet.parameters()) == unet_size
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    assert sum(p.numel() for p in text_encoder.parameters()) == text_size
    assert (unet.config.cross_attention_dim, unet.config.use_linear_projection) == (width, linear)
    assert text_encoder.config.hidden_size == width
    assert vae.config.scaling_factor == 0.18215


@pytest.mark.parametrize('arch', ['sdxl', 'sdxl-turbo'])
def test_sdxl_has_the_published_sizes(arch):
    with torch.device('meta'):
        unet, vae = build_unet(arch), build_vae(arch)
        first, second = (build_text_encoder(arch, part) for part in text_parts(arch))
    sizes = [sum(p.numel() for p in network.parameters()) for network in (unet, vae, first, second)]
    assert sizes == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]
    assert vae.config.scaling_factor == 0.13025 and overflows_in_half(vae.config)
    assert (first.config.hidden_size, second.config.hidden_size, second.config.projection_dim) == (768, 1280, 1280)
    assert pooled_width(unet.config) == 1280


@pytest.mark.parametrize(
    'arch, scheduler, prediction_type',
    [
        ('sd1-5', PNDMScheduler, 'epsilon'),
        ('sd2-1', DDIMScheduler, 'v_prediction'),
        ('sdxl', EulerDiscreteScheduler, 'epsilon'),
    ],
)
def test_presets_hold_a_scheduler(arch, scheduler, prediction_type):
    loaded = scheduler.from_pretrained(arch_folder(arch) / 'scheduler')
    assert loaded.config.prediction_type == prediction_type
    assert loaded.betas[[0, -1]].tolist() == pytest.approx([0.00085, 0.012])


def test_arch_may_be_a_folder(tmp_path):
    folder = write_arch(tmp_path / 'arch')
    assert arch_folder(folder) == Path(folder)
    unet, text_encoder = build_unet(folder), build_text_encoder(folder)
    assert unet.config.block_out_channels == [8, 16, 24, 40]
    assert text_encoder.config.hidden_size == 12 and text_encoder.config.num_hidden_layers == 2
    assert build_vae(folder).config.layers_per_block == 1
    assert not torch.equal(unet.conv_in.weight, build_unet(folder).conv_in.weight)  # arch builds, it does not load


def test_unknown_arch_lists_the_presets(tmp_path):
    with pytest.raises(ValueError, match=r"'sd3'.*sd1-5.*sd2-1.*tiny-sd"):
        arch_folder('sd3')
    with pytest.raises(ValueError, match='vae/config.json'):
        build_unet(tmp_path)


def test_arch_folder_without_text_encoder(tmp_path):
    shutil.rmtree(Path(write_arch(tmp_path / 'arch'), 'text_encoder'))
    with pytest.raises(ValueError, match='text_encoder/config.json'):
        build_text_encoder(tmp_path / 'arch')


def test_autoencoder_of_other_images(tmp_path):
    with pytest.raises(ValueError, match=r'vae/config\.json.*in_channels=1.*3'):
        build_vae(write_changed_arch(tmp_path, 'vae', in_channels=1))


@pytest.mark.parametrize('name', ['ControlNetModel', 'FlaxUNet2DConditionModel', 'UNetMotionModel'])
def test_network_of_another_kind(tmp_path, name):
    with pytest.raises(ValueError, match=rf'unet/config\.json.*UNet2DConditionModel.*{name}'):
        build_unet(write_changed_arch(tmp_path, 'unet', _class_name=name))


@pytest.mark.parametrize(
    ('changes', 'named'),
    [
        (dict(model_type='t5', d_model=12), "model_type='t5'.*clip_text_model"),  # DeepFloyd
        (dict(model_type='clip'), "model_type='clip'.*clip_text_model"),  # text and image side together
    ],
)
def test_text_encoder_of_another_model(tmp_path, changes, named):
    with pytest.raises(ValueError, match=rf'text_encoder/config\.json.*{named}'):
        build_text_encoder(write_changed_arch(tmp_path, 'text_encoder', **changes))


def test_sdxl_without_its_second_text_encoder(tmp_path):
    arch = write_changed_arch(tmp_path, 'text_encoder', 'sdxl')
    shutil.rmtree(Path(arch, 'text_encoder_2'))
    with pytest.raises(ValueError, match='text_encoder_2/config.json'):
        DiffusionUNet(arch, prompts=dict(type='TextPrompts'))


@pytest.mark.parametrize(
    ('changes', 'expected'),
    [
        ({}, 0.18215),
        (dict(scaling_factor=0.5), 0.5),
        (dict(_class_name='AutoencoderTiny', scaling_factor=1.0), 0.18215),
    ],
)
def test_scaling_of_the_latents_of_a_unet(tmp_path, changes, expected):
    arch = write_changed_arch(tmp_path, 'vae', **changes)
    assert latent_scaling(arch) == latent_scaling(dict(unet=arch, vae='taesd')) == expected
    shutil.rmtree(Path(arch, 'vae'))
    assert latent_scaling(dict(unet=arch, vae='taesd')) == 0.18215


@pytest.mark.parametrize(('unet', 'wrong', 'right'), [('sdxl', 'taesd', 'taesdxl'), ('sd1', 'taesdxl', 'taesd')])
def test_a_tiny_autoencoder_belongs_to_a_family(archs, unet, wrong, right):
    with pytest.raises(ValueError, match=f"'vae': '{wrong}'.*vae='{right}'"):
        build_vae(dict(unet=archs[unet], vae=wrong))
    assert build_vae(dict(unet=archs[unet], vae=right)).config.latent_channels == 4


@pytest.mark.parametrize(
    ('unet', 'vae', 'factors'), [('sdxl', 'sd1', '0.18215.*0.13025'), ('sd1', 'sdxl', '0.13025.*0.18215')]
)
def test_an_autoencoder_of_another_family(archs, unet, vae, factors):
    with pytest.raises(ValueError, match=f'vae/config.json.*{factors}'):
        build_vae(dict(unet=archs[unet], vae=archs[vae]))


SENTENCES = [
    'a photo of a hovercraft.',
    "itap of the child's 42 tricycles, wow!!!",
    '  Überraschung:\n  a naïve   café — 日本 😀',
    'a pneumonoultramicroscopicsilicovolcanoconiosis',
]


def test_tokenizer_agrees_with_the_one_of_openai():
    tokenizer = pytest.importorskip('mmseg.utils.tokenizer').SimpleTokenizer()
    ours = build_tokenizer('sd1-5')
    for sentence in SENTENCES:
        assert ours(sentence).input_ids == [49406, *tokenizer.encode(sentence), 49407]


def test_tokenizer_known_tokens():
    assert build_tokenizer('sd1-5')('a photo of a dog').input_ids == [49406, 320, 1125, 539, 320, 1929, 49407]


@pytest.mark.parametrize('arch, pad', [('sd1-5', 49407), ('sd2-1', 0)])
def test_padding_token(arch, pad):
    tokens = build_tokenizer(arch)('a dog', padding='max_length').input_ids
    assert tokens == [49406, 320, 1929, 49407] + [pad] * 73


def test_arch_folder_keeps_its_own_vocabulary(tmp_path):
    write_arch(tmp_path / 'arch')
    tmp_path = tmp_path / 'arch'
    assert build_tokenizer(tmp_path)('a dog').input_ids == [49406, 320, 1929, 49407]
    vocabulary = {'a</w>': 0, 'dog</w>': 1, '<|startoftext|>': 2, '<|endoftext|>': 3}
    (tmp_path / 'tokenizer').mkdir()
    (tmp_path / 'tokenizer' / 'vocab.json').write_text(json.dumps(vocabulary | {'d': 4, 'o': 5, 'g</w>': 6, 'do': 7}))
    (tmp_path / 'tokenizer' / 'merges.txt').write_text('#version: 0.2\nd o\ndo g</w>\n')
    tokenizer = build_tokenizer(tmp_path)
    assert tokenizer('a dog').input_ids == [2, 0, 1, 3]

    shutil.rmtree(tmp_path / 'tokenizer')
    tokenizer.save_pretrained(tmp_path / 'tokenizer')  # as one tokenizer.json
    assert build_tokenizer(tmp_path)('a dog').input_ids == [2, 0, 1, 3]


REMOTE = {
    'tokenizer_class': 'EvilTokenizer',
    'architectures': ['EvilModel'],
    'auto_map': {name: 'evil.EvilModel' for name in ('AutoModel', 'AutoConfig', 'AutoTokenizer')},
    'trust_remote_code': True,
    'attn_implementation': 'evil/kernel',
    '_attn_implementation': 'evil/kernel',
    'use_kernels': True,
    'quantization_config': {'quant_method': 'evil'},
    'chat_template': "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for x in range(10**9) %}{% endfor %}",
}


def test_nothing_in_a_folder_is_executed(tmp_path):
    """Neither code beside a config that names it, nor a template of a tokenizer, nor a kernel for attention."""
    folder, proof = Path(write_arch(tmp_path / 'folder')), tmp_path / 'executed'
    build_tokenizer('sd1-5').save_pretrained(folder / 'tokenizer')
    for config in folder.glob('*/*config.json'):
        config.write_text(json.dumps(json.loads(config.read_text()) | REMOTE))
    for part in (folder, *folder.iterdir()):
        (part / 'evil.py').write_text(f'open({str(proof)!r}, "w")')

    build_unet(folder), build_vae(folder)
    text_encoder, tokenizer = build_text_encoder(folder), build_tokenizer(folder)

    assert tokenizer('a dog').input_ids == [49406, 320, 1929, 49407]
    assert text_encoder.config._attn_implementation == build_text_encoder('sd1-5').config._attn_implementation
    assert not proof.exists()


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('{', r'unet/config\.json.*damaged'),
        ('[]', r'unet/config\.json.*JSON.*list'),
        (
            '{"_class_name": "AutoencoderKL"}',
            r"config\.json.*UNet2DConditionModel.*'Auto",
        ),
    ],
)
def test_config_that_is_none(tmp_path, content, message):
    for part in ('unet', 'vae'):
        (tmp_path / part).mkdir()
        (tmp_path / part / 'config.json').write_text(content)
    with pytest.raises(ValueError, match=message):
        build_unet(tmp_path)


@pytest.mark.parametrize('arch', [dict(unet='sd1-5', vae='taesd'), dict(unet='tiny-sd', vae='tiny-taesd')])
def test_tiny_autoencoders_are_built_without_warnings(arch, monkeypatch):
    warnings = []
    monkeypatch.setattr('diffusers.configuration_utils.logger.warning', warnings.append)
    build_vae(arch)
    assert warnings == []
