"""Real files of every layout, written from one model and loaded into another with other random weights."""

import copy
import json
import math
import re
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_open_clip_checkpoint
from mmengine.model import BaseModule
from pickles import Call
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.weights import loading
from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer, build_unet, build_vae, text_parts
from mmdiffperc.weights.assignment import plan_filling
from mmdiffperc.weights.compvis import PREFIXES, ema_key, open_clip_key, unet_key_map, vae_key_map
from mmdiffperc.weights.loading import initialise, load_weights
from mmdiffperc.weights.network_inputs import overflows_in_half
from mmdiffperc.weights.sources import locate

UNETS = {
    'sd1': {
        'down_block_types': ['CrossAttnDownBlock2D', 'DownBlock2D'],
        'up_block_types': ['UpBlock2D', 'CrossAttnUpBlock2D'],
        'block_out_channels': [16, 24],
        'norm_num_groups': 8,
        'layers_per_block': 1,
        'attention_head_dim': 4,
        'cross_attention_dim': 24,
    },
    'sd2': {
        'down_block_types': ['CrossAttnDownBlock2D', 'CrossAttnDownBlock2D', 'DownBlock2D'],
        'up_block_types': ['UpBlock2D', 'CrossAttnUpBlock2D', 'CrossAttnUpBlock2D'],
        'block_out_channels': [16, 24, 32],
        'norm_num_groups': 8,
        'layers_per_block': 2,
        'attention_head_dim': [2, 3, 4],
        'cross_attention_dim': 40,
        'use_linear_projection': True,
    },
}
TEXT_ENCODERS = {
    'sd1': {'hidden_size': 24, 'intermediate_size': 36, 'num_hidden_layers': 2, 'num_attention_heads': 3},
    'sd2': {'hidden_size': 40, 'intermediate_size': 56, 'num_hidden_layers': 3, 'num_attention_heads': 5},
}
VAE = {
    'down_block_types': ['DownEncoderBlock2D'] * 2,
    'up_block_types': ['UpDecoderBlock2D'] * 2,
    'block_out_channels': [16, 24],
    'norm_num_groups': 8,
    'layers_per_block': 1,
}
LCM = dict(time_cond_proj_dim=6)
LOTUS = dict(class_embed_type='projection', projection_class_embeddings_input_dim=4)
TOKENS = torch.tensor([[57, 3, 20, 59], [57, 11, 59, 59]])


def _modules(kind, seed):
    """A tiny Stable Diffusion, every weight random (so that no two norms or biases are alike)."""
    torch.manual_seed(seed)
    modules = {
        'unet': UNet2DConditionModel(**UNETS[kind]),
        'vae': AutoencoderKL(**VAE),
        'text_encoder': CLIPTextModel(CLIPTextConfig(vocab_size=60, **TEXT_ENCODERS[kind])),
    }
    with torch.no_grad():
        for module in modules.values():
            module.eval()
            for parameter in module.parameters():
                parameter.normal_(std=0.1)
    return modules


@pytest.fixture(params=['sd1', 'sd2'])
def kind(request):
    return request.param


@pytest.fixture
def source(kind):
    return _modules(kind, seed=1)


@pytest.fixture
def target(kind):
    return _modules(kind, seed=2)


def _write_folder(modules, folder, **options):
    for part, module in modules.items():
        module.save_pretrained(folder / part, **options)
    return folder


def _compvis(modules, kind):
    """The weights of tiny modules in the layout of a CompVis single file."""
    unet_map, vae_map = unet_key_map(modules['unet'].config), vae_key_map(modules['vae'].config)
    weights = {PREFIXES['unet'] + unet_map[k]: v for k, v in modules['unet'].state_dict().items()}
    for name, value in modules['vae'].state_dict().items():
        weights[PREFIXES['vae'] + vae_map[name]] = value[..., None, None] if value.dim() == 2 else value
    text = modules['text_encoder'].state_dict()
    if kind == 'sd1':
        weights |= {PREFIXES['clip'] + name: value for name, value in text.items()}
    else:
        weights |= _open_clip(text)
    return {name: value.contiguous() for name, value in weights.items()}


def _open_clip(text):
    weights = {}
    for name, value in text.items():
        if 'q_proj' in name:
            value = torch.cat([text[name.replace('q_proj', part)] for part in ('q_proj', 'k_proj', 'v_proj')])
        if 'k_proj' not in name and 'v_proj' not in name:
            weights[PREFIXES['open_clip'] + open_clip_key(name)] = value
    unused_layer = {name.replace('resblocks.2', 'resblocks.3'): value + 1 for name, value in weights.items()}
    return unused_layer | weights  # SD 2.x reads the last layer but one


def _assert_same(module, expected):
    weights = module.state_dict()
    assert weights.keys() == expected.state_dict().keys()
    different = [name for name, value in expected.state_dict().items() if not torch.equal(weights[name], value)]
    assert not different


def _outputs(modules):
    width = modules['unet'].config.cross_attention_dim
    torch.manual_seed(0)
    latents, context, image = torch.randn(2, 4, 8, 12), torch.randn(2, 5, width), torch.randn(1, 3, 16, 24)
    with torch.no_grad():
        return [
            modules['unet'](latents, 1, context).sample,
            modules['vae'](image).sample,
            modules['text_encoder'](TOKENS).last_hidden_state,
        ]


def _assert_all_same(target, source):
    for part, module in target.items():
        _assert_same(module, source[part])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(_outputs(target), _outputs(source), strict=True))


# Diffusers folders


def test_missing_shard(tmp_path):
    unet = _modules('sd1', seed=1)['unet']
    _write_folder(dict(unet=unet), tmp_path, max_shard_size='40KB')
    next((tmp_path / 'unet').glob('*-00002-of-*')).unlink()
    with pytest.raises(FileNotFoundError, match='of-000'):
        load_weights(tmp_path, unet=unet)


def test_variants(tmp_path):
    half = {part: module.half() for part, module in _modules('sd1', seed=3).items()}
    target = _modules('sd1', seed=2)
    _write_folder(half, tmp_path, variant='fp16')

    load_weights(tmp_path, **target)  # the only variant there is
    assert target['unet'].dtype == torch.float32
    _assert_same(target['unet'], half['unet'].float())

    plain = _modules('sd1', seed=4)
    _write_folder(plain, tmp_path)
    load_weights(tmp_path, **target)
    _assert_same(target['vae'], plain['vae'])
    load_weights(tmp_path, variant='fp16', vae=target['vae'])
    _assert_same(target['vae'], half['vae'].float())
    with pytest.raises(FileNotFoundError, match=r"bf16.*\['fp16', 'plain'\]"):
        load_weights(tmp_path, variant='bf16', vae=target['vae'])


def test_variant_of_one_part_only(source, target, tmp_path):
    """As many folders are published: the U-Net in half precision beside a plain autoencoder."""
    _write_folder(dict(unet=copy.deepcopy(source['unet']).half()), tmp_path, variant='fp16')
    _write_folder(dict(vae=source['vae']), tmp_path)
    load_weights(tmp_path, variant='fp16', unet=target['unet'], vae=target['vae'])
    _assert_same(target['vae'], source['vae'])
    _assert_same(target['unet'], copy.deepcopy(source['unet']).half().float())


def test_variant_must_be_named_when_there_are_several(tmp_path):
    for variant in ('fp16', 'non_ema'):
        AutoencoderKL(**VAE).save_pretrained(tmp_path / 'vae', variant=variant)
    with pytest.raises(FileNotFoundError, match=r"\['fp16', 'non_ema'\]"):
        load_weights(tmp_path, vae=AutoencoderKL(**VAE))


OPTIONS = {
    'safetensors': {},
    'bin': dict(safe_serialization=False),
    'shards': dict(max_shard_size='40KB'),
    'variant': dict(variant='fp16'),
}


@pytest.mark.parametrize('form', [*OPTIONS, 'old names'])
def test_diffusers_and_transformers_read_the_same_from_the_folder(source, target, tmp_path, form):
    _write_folder(dict(unet=source['unet'], vae=source['vae']), tmp_path, **OPTIONS.get(form, {}))
    source['text_encoder'].save_pretrained(tmp_path / 'text_encoder')
    if form == 'old names':
        _rename(tmp_path / 'vae' / 'diffusion_pytorch_model.safetensors', _old_vae_name)
        _rename(tmp_path / 'text_encoder' / 'model.safetensors', 'text_model.{}'.format)

    load_weights(tmp_path, **target)

    variant = OPTIONS.get(form, {}).get('variant')
    theirs = {
        'unet': UNet2DConditionModel.from_pretrained(tmp_path / 'unet', variant=variant),
        'vae': AutoencoderKL.from_pretrained(tmp_path / 'vae', variant=variant),
        'text_encoder': CLIPTextModel.from_pretrained(tmp_path / 'text_encoder'),
    }
    _assert_all_same(target, theirs)


def _rename(path, new_name):
    weights = {new_name(name): value for name, value in load_file(path).items()}
    save_file(weights, path, metadata=dict(format='pt'))


def _old_vae_name(name):
    for new, former in {'to_q': 'query', 'to_k': 'key', 'to_v': 'value', 'to_out.0': 'proj_attn'}.items():
        name = name.replace(f'.{new}.', f'.{former}.')
    return name


def test_folder_without_a_part(source, target, tmp_path):
    _write_folder({'unet': source['unet']}, tmp_path)
    with pytest.raises(FileNotFoundError, match="'vae'"):
        load_weights(tmp_path, **target)


def test_dtype_and_device_of_the_module_stay(tmp_path):
    source, target = _modules('sd1', seed=1)['vae'], _modules('sd1', seed=2)['vae'].to(torch.bfloat16)
    source.save_pretrained(tmp_path / 'vae')
    load_weights(tmp_path, vae=target)
    assert target.dtype == torch.bfloat16
    _assert_same(target, source.to(torch.bfloat16))


# CompVis single files


@pytest.mark.parametrize('wrapped', [True, False])
@pytest.mark.parametrize('suffix', ['.ckpt', '.pth', '.safetensors'])
def test_single_file(source, target, kind, tmp_path, suffix, wrapped):
    path, weights = tmp_path / f'sd{suffix}', _compvis(source, kind)
    weights = dict(reversed(weights.items()))  # the order of a file means nothing
    if suffix == '.safetensors':
        save_file(weights, path)
    else:
        torch.save({'state_dict': weights, 'global_step': 7} if wrapped else weights, path)

    load_weights(path, **target)

    _assert_all_same(target, source)


def test_single_file_of_generative_models(tmp_path):
    """Of Stability, in which SD-Turbo is published."""
    source, target = _modules('sd2', seed=1), _modules('sd2', seed=2)
    text = PREFIXES['open_clip']
    weights = {
        name.replace(text, 'conditioner.embedders.0.model.'): value for name, value in _compvis(source, 'sd2').items()
    }
    save_file(weights | {'denoiser.sigmas': torch.ones(3)}, tmp_path / 'sd_turbo.safetensors')
    load_weights(tmp_path / 'sd_turbo.safetensors', **target)
    _assert_all_same(target, source)


def test_single_file_of_half_precision(source, target, kind, tmp_path):
    path = tmp_path / 'sd.safetensors'
    save_file({name: value.half() for name, value in _compvis(source, kind).items()}, path)
    load_weights(path, **target)
    for part, module in target.items():
        assert module.dtype == torch.float32
        _assert_same(module, source[part].half().float())


def test_single_file_of_old_torch(source, target, kind, tmp_path):
    path = tmp_path / 'sd.ckpt'
    torch.save({'state_dict': _compvis(source, kind)}, path, _use_new_zipfile_serialization=False)
    load_weights(path, unet=target['unet'])
    _assert_same(target['unet'], source['unet'])


def test_ema(source, target, kind, tmp_path):
    path, averaged = tmp_path / 'sd.ckpt', _modules(kind, seed=5)
    weights, average = _compvis(source, kind), _compvis(averaged, kind)
    weights |= {ema_key(name): value for name, value in average.items() if name.startswith(PREFIXES['unet'])}
    torch.save({'state_dict': weights}, path)

    load_weights(path, **target)
    _assert_all_same(target, source)
    load_weights(path, use_ema=True, **target)
    _assert_same(target['unet'], averaged['unet'])
    _assert_same(target['vae'], source['vae'])


def test_ema_where_there_is_none(source, target, kind, tmp_path):
    torch.save(_compvis(source, kind), tmp_path / 'sd.ckpt')
    with pytest.raises(ValueError, match=r'model_ema\.diffusion_modelinput_blocks00weight'):
        load_weights(tmp_path / 'sd.ckpt', use_ema=True, unet=target['unet'])
    _write_folder(source, tmp_path)
    with pytest.raises(ValueError, match='use_ema=True.*CompVis'):
        load_weights(tmp_path, use_ema=True, unet=target['unet'])


def test_diffusers_reads_the_same_from_the_file(source, kind, tmp_path):
    path, folder = tmp_path / 'sd.safetensors', tmp_path / 'configs'
    save_file(_compvis(source, kind), path)
    _write_folder(_modules(kind, seed=3), folder)

    unet = UNet2DConditionModel.from_single_file(path, config=str(folder), subfolder='unet', local_files_only=True)
    vae = AutoencoderKL.from_single_file(path, config=str(folder), subfolder='vae', local_files_only=True)

    _assert_same(unet, source['unet'])
    _assert_same(vae, source['vae'])


def test_removed_parts_are_not_asked_for(source, target, kind, tmp_path):
    weights = _compvis(source, kind)
    needless = ('.decoder.', '.post_quant_conv.', 'diffusion_model.out.')
    save_file({k: v for k, v in weights.items() if not any(n in k for n in needless)}, tmp_path / 'sd.safetensors')
    del target['vae'].decoder, target['vae'].post_quant_conv, target['unet'].conv_out, target['unet'].conv_norm_out

    load_weights(tmp_path / 'sd.safetensors', unet=target['unet'], vae=target['vae'])

    assert torch.equal(target['unet'].conv_in.weight, source['unet'].conv_in.weight)
    _assert_same(target['vae'].encoder, source['vae'].encoder)


# Part by part


@pytest.mark.parametrize('suffix', ['.safetensors', '.bin'])
@pytest.mark.parametrize('names', ['today', 'original'])
def test_files_of_one_part(source, target, kind, tmp_path, names, suffix):
    """With the names of diffusers and transformers, or of the original code without the prefixes of a single file."""
    if names == 'today':
        files = {part: module.state_dict() for part, module in source.items()}
    else:
        prefixes = dict(PREFIXES, text_encoder=PREFIXES['open_clip'] if kind == 'sd2' else PREFIXES['clip'])
        single = _compvis(source, kind)
        files = {
            part: {key.removeprefix(prefixes[part]): value for key, value in single.items() if prefixes[part] in key}
            for part in source
        }
    for part, weights in files.items():
        path = tmp_path / f'{part}{suffix}'
        save_file(weights, path) if suffix == '.safetensors' else torch.save(weights, path)
    load_weights({part: tmp_path / f'{part}{suffix}' for part in source}, **target)
    _assert_all_same(target, source)


def test_u_net_of_one_model_and_the_rest_of_another(source, target, kind, tmp_path):
    """As CleanDIFT publishes its U-Net, whose config equals the one of Stable Diffusion."""
    other = _modules(kind, seed=3)
    _write_folder(dict(unet=other['unet']), tmp_path / 'only unet')
    save_file(_compvis(source, kind), tmp_path / 'sd.safetensors')
    with pytest.raises(FileNotFoundError, match=r"'vae'[\s\S]*'text_encoder'"):
        load_weights(tmp_path / 'only unet', **target)
    with pytest.raises(ValueError, match=r'vae[\s\S]*checkpoint=dict\(unet=\.\.\.'):
        load_weights(next((tmp_path / 'only unet/unet').glob('*.safetensors')), vae=target['vae'])
    file = tmp_path / 'sd.safetensors'
    load_weights(dict(unet=tmp_path / 'only unet', vae=file, text_encoder=file), **target)
    _assert_all_same(target, source | dict(unet=other['unet']))


@pytest.mark.parametrize('changes', [LCM, LOTUS, dict(in_channels=8)], ids=['LCM', 'Lotus', 'Marigold'])
@pytest.mark.parametrize('layout', ['folder', 'CompVis', 'bare'])
def test_networks_with_more_inputs(kind, tmp_path, changes, layout):
    torch.manual_seed(1)
    source, target = (UNet2DConditionModel(**UNETS[kind] | changes) for _ in range(2))
    if layout == 'folder':
        source.save_pretrained(tmp_path / 'unet')
    else:
        weights = source.state_dict()
        if layout == 'CompVis':
            weights = {PREFIXES['unet'] + key: weights[name] for name, key in unet_key_map(source.config).items()}
        save_file(weights, tmp_path / 'unet.safetensors')
    load_weights(tmp_path if layout == 'folder' else tmp_path / 'unet.safetensors', unet=target)
    _assert_same(target, source)


def test_tiny_autoencoder(tmp_path):
    settings = dict(encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4)
    torch.manual_seed(1)
    source, target = AutoencoderTiny(**settings), AutoencoderTiny(**settings)
    source.save_pretrained(tmp_path / 'taesd')
    load_weights(dict(vae=tmp_path / 'taesd'), vae=target)
    _assert_same(target, source)
    with pytest.raises(ValueError, match='TAESD'):
        load_weights(tmp_path / 'taesd', vae=AutoencoderKL(**VAE))


# Models and their init_cfg


class Model(BaseModule):
    """With two parts of a Stable Diffusion."""

    def __init__(self, seed, **init_cfg):
        super().__init__(init_cfg or None)
        parts = _modules('sd1', seed)
        self.unet, self.vae = parts['unet'], parts['vae']

    def init_weights(self):
        self.source = initialise(self, dict(unet=self.unet, vae=self.vae), extra=['tokenizer'])


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return _write_folder(_modules('sd1', seed=1), tmp_path_factory.mktemp('sd') / 'folder')


def test_init_cfg_fills_all_components(folder):
    model = Model(2, type='Pretrained', checkpoint=str(folder))
    model.init_weights()
    _assert_same(model, Model(1))
    assert model.is_init and set(model.source.files) == {'unet', 'vae', 'tokenizer'}


def test_init_cfg_fills_the_components_that_it_names(folder):
    model = Model(2, type='Pretrained', checkpoint=str(folder), components=['vae'])
    model.init_weights()
    _assert_same(model.vae, Model(1).vae)
    _assert_same(model.unet, Model(2).unet)
    with pytest.raises(ValueError, match=r"components=\('text_encoder',\).*'unet', 'vae'"):
        Model(2, type='Pretrained', checkpoint=str(folder), components=['text_encoder']).init_weights()


def test_init_cfg_with_a_prefix_names_a_checkpoint_of_openmmlab(tmp_path):
    weights = {f'backbone.{name}': weight for name, weight in Model(1).state_dict().items()}
    torch.save(dict(state_dict=weights), tmp_path / 'model.pth')
    model = Model(2, type='Pretrained', checkpoint=str(tmp_path / 'model.pth'), prefix='backbone.')
    model.init_weights()
    _assert_same(model, Model(1))
    assert model.is_init and model.source is None
    with pytest.raises(ValueError, match=r'init_cfg=.*neck\.'):
        Model(2, type='Pretrained', checkpoint=str(tmp_path / 'model.pth'), prefix='neck.').init_weights()


def test_a_located_source_fills_more_modules(folder):
    target = _modules('sd1', seed=2)
    source = load_weights(folder, unet=target['unet'], extra=['text_encoder'])
    load_weights(source, text_encoder=target['text_encoder'])
    _assert_same(target['text_encoder'], _modules('sd1', seed=1)['text_encoder'])


def test_weights_need_no_models():
    """They lie below the models, which import them."""
    for path in Path(loading.__file__).parent.glob('*.py'):
        assert 'mmdiffperc.models' not in re.sub(r'""".*?"""', '', path.read_text(), flags=re.DOTALL), path.name


# What does not fit


def _unchanged(module):
    before = {name: value.clone() for name, value in module.state_dict().items()}
    return lambda: all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    'part, name, key',
    [
        ('unet', 'conv_out.bias', 'out.2.bias'),
        ('vae', 'encoder.mid_block.attentions.0.to_k.weight', 'encoder.mid.attn_1.k.weight'),
    ],
)
def test_missing_keys_are_named_and_nothing_is_loaded(source, target, kind, tmp_path, part, name, key):
    weights = _compvis(source, kind)
    del weights[PREFIXES[part] + key]
    save_file(weights, tmp_path / 'sd.safetensors')
    unchanged = _unchanged(target['unet'])
    with pytest.raises(ValueError) as error:
        load_weights(tmp_path / 'sd.safetensors', **target)
    assert all(text in str(error.value) for text in (part, '1 missing', name, PREFIXES[part] + key))
    assert unchanged()


@pytest.mark.parametrize('layout', ['folder', 'file'])
def test_weights_of_another_architecture(tmp_path, layout):
    source, target = _modules('sd2', seed=1), _modules('sd1', seed=2)
    _write_folder(source, tmp_path)
    save_file(_compvis(source, 'sd2'), tmp_path / 'sd.safetensors')
    checkpoint = tmp_path if layout == 'folder' else tmp_path / 'sd.safetensors'
    unchanged = _unchanged(target['unet'])
    with pytest.raises(
        ValueError, match=r'attn2\.to_k\.weight.*\(16, 24\).*\(16, 40\)[\s\S]*width 40;.*width 24'
    ) as error:
        load_weights(checkpoint, unet=target['unet'])
    assert str(checkpoint) in str(error.value)
    assert unchanged()
    with pytest.raises(ValueError, match=r'24\).*\(60, 40\)'):
        load_weights(checkpoint, text_encoder=target['text_encoder'])


def test_convolution_is_not_taken_for_a_linear_layer(tmp_path):
    other = UNet2DConditionModel(**{**UNETS['sd1'], 'use_linear_projection': True})
    UNet2DConditionModel(**UNETS['sd1']).save_pretrained(tmp_path / 'unet')
    with pytest.raises(ValueError, match=r'proj_in\.weight.*\(16, 16\).*\(16, 16, 1, 1\)'):
        load_weights(tmp_path, unet=other)


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        (dict(in_channels=9), 'in_channels=9'),  # inpainting
        (dict(time_cond_proj_dim=6), 'time_cond_proj_dim=6'),  # a latent consistency model, which has all other weights
        (dict(class_embed_type='timestep'), "class_embed_type='timestep'"),
    ],
)
def test_folder_of_a_unet_that_needs_other_inputs(kind, target, tmp_path, changes, words):
    """What the module lacks would not be loaded, and the rest would compute something else."""
    other = UNet2DConditionModel(**UNETS[kind] | changes)
    _write_folder(dict(unet=other), tmp_path)
    with pytest.raises(ValueError, match=rf'unet/config\.json.*{words}'):
        load_weights(tmp_path, unet=target['unet'])


@pytest.mark.parametrize('layout', ['CompVis', 'bare'])
@pytest.mark.parametrize(
    ('changes', 'keys', 'argument'),
    [
        (LCM, ('time_embedding.cond_proj.weight', 'time_embed.cond_proj.weight'), 'guidance_scale'),
        (LOTUS, ('class_embedding.linear_1.weight', 'label_emb.0.0.weight'), 'task_embedding'),
    ],
    ids=['LCM', 'Lotus'],
)
def test_weights_that_the_network_lacks_are_named(source, target, kind, tmp_path, layout, changes, keys, argument):
    """All other weights of these U-Nets fit."""
    modules = source | dict(unet=UNet2DConditionModel(**UNETS[kind] | changes))
    weights = modules['unet'].state_dict() if layout == 'bare' else _compvis(modules, kind)
    save_file(weights, tmp_path / 'sd.safetensors')
    unchanged = _unchanged(target['unet'])
    with pytest.raises(ValueError) as error:
        load_weights(tmp_path / 'sd.safetensors', unet=target['unet'])
    message = str(error.value)
    key = keys[0] if layout == 'bare' else PREFIXES['unet'] + keys[1]
    assert key in message and argument in message and re.search(r'\b[14] that', message)
    assert unchanged()


NOT_NEEDED = [
    'betas',
    'alphas_cumprod_prev',
    'sqrt_one_minus_alphas_cumprod',
    'posterior_log_variance_clipped',
    'model_ema.num_updates',
    'first_stage_model.loss.logvar',
    'first_stage_model.model_ema.decay',
    'cond_stage_model.logit_scale',
    'v_pred',
    'ztsnr',
    'cond_stage_model.transformer.text_model.embeddings.position_ids',
]


def test_weights_that_nothing_needs(source, target, kind, tmp_path):
    weights = _compvis(source, kind) | {key: torch.ones(1) for key in NOT_NEEDED}
    if kind == 'sd2':  # it has another text encoder
        del weights[NOT_NEEDED[-1]]
    save_file(weights, tmp_path / 'sd.safetensors')
    load_weights(tmp_path / 'sd.safetensors', **target)
    _assert_all_same(target, source)


@pytest.mark.parametrize('key', ['model.diffusion_model.extra.weight', 'extra.weight', 'first_stage_model.extra'])
def test_any_other_weight_is_named(source, kind, tmp_path, key):
    """In every part, for a single file belongs to the whole model."""
    save_file(_compvis(source, kind) | {key: torch.ones(1)}, tmp_path / 'sd.safetensors')
    target = _modules(kind, seed=2)
    with pytest.raises(ValueError, match=f'1 that.*\n.*{key}'):
        load_weights(tmp_path / 'sd.safetensors', **target)


@pytest.mark.parametrize('suffix', ['.safetensors', '.bin'])
def test_ip_adapter(target, tmp_path, suffix):
    adapter = {'image_proj': {'proj.weight': torch.ones(2)}, 'ip_adapter': {'1.to_k_ip.weight': torch.ones(2)}}
    path = tmp_path / f'ip-adapter_sd15{suffix}'
    if suffix == '.bin':
        torch.save(adapter, path)
    else:
        save_file({f'{group}.{key}': value for group in adapter for key, value in adapter[group].items()}, path)
    with pytest.raises(ValueError, match='IP-Adapter'):
        load_weights(path, unet=target['unet'])


def test_two_u_nets_in_one_file(source, target, kind, tmp_path):
    weights = _compvis(source, kind) | copy.deepcopy(source['unet']).state_dict()
    save_file(weights, tmp_path / 'sd.safetensors')
    with pytest.raises(ValueError, match=r'two sources of the unet.*model\.diffusion_model\..*down_blocks'):
        load_weights(tmp_path / 'sd.safetensors', unet=target['unet'])


@pytest.mark.parametrize(
    ('part', 'name', 'other'),
    [
        ('vae', 'encoder.mid_block.attentions.0.to_q.weight', 'encoder.mid_block.attentions.0.query.weight'),
        ('text_encoder', 'final_layer_norm.bias', 'text_model.final_layer_norm.bias'),
    ],
)
def test_old_and_new_name_of_one_weight(tmp_path, part, name, other):
    source = _modules('sd1', seed=1)[part]
    weights = source.state_dict()
    save_file(weights | {other: weights[name] + 1}, tmp_path / 'both.safetensors')
    with pytest.raises(ValueError, match=rf'both\.safetensors.*two sources of the {part}.*{other}'):
        load_weights(tmp_path / 'both.safetensors', **{part: source})


@pytest.mark.parametrize('prefix', ['unet.', 'module.'])
def test_names_behind_a_prefix(tmp_path, prefix):
    unet = _modules('sd1', seed=1)['unet']
    weights = {prefix + name: weight for name, weight in unet.state_dict().items()}
    save_file(weights | {'vae.weight': torch.ones(1)}, tmp_path / 'wrapped.safetensors')
    with pytest.raises(ValueError, match=rf"wrapped\.safetensors[\s\S]*'{prefix}'"):
        load_weights(tmp_path / 'wrapped.safetensors', unet=unet)


def test_image_side_of_open_clip(tmp_path):
    source, target = (_modules('sd2', seed)['text_encoder'] for seed in (1, 2))
    weights = {
        name.removeprefix(PREFIXES['open_clip']): weight for name, weight in _open_clip(source.state_dict()).items()
    }
    save_file(weights | {'visual.transformer.resblocks.0.ln_1.bias': torch.ones(1)}, tmp_path / 'clip.safetensors')
    load_weights(tmp_path / 'clip.safetensors', text_encoder=target)
    _assert_same(target, source)


def test_folder_with_other_attention_heads(target, kind, tmp_path):
    """The weights have the same shapes."""
    _write_folder(dict(unet=UNet2DConditionModel(**UNETS[kind] | dict(attention_head_dim=8))), tmp_path)
    with pytest.raises(ValueError, match=r'unet/config\.json.*\[8, 8.*heads'):
        load_weights(tmp_path, unet=target['unet'])


@pytest.mark.parametrize('layout', ['CompVis', 'folder'])
def test_autoencoder_for_a_tiny_one(tmp_path, layout):
    source, path = _modules('sd1', seed=1), tmp_path / 'sd.safetensors'
    if layout == 'CompVis':
        save_file(_compvis(source, 'sd1'), path)
    else:
        path = _write_folder(dict(vae=source['vae']), tmp_path)
    with pytest.raises(ValueError, match='an autoencoder with 4.*TAESD'):
        load_weights(path, vae=AutoencoderTiny(encoder_block_out_channels=[4] * 4, decoder_block_out_channels=[4] * 4))


def test_autoencoder_of_sdxl(tmp_path):
    AutoencoderKL(**VAE, scaling_factor=0.13025).save_pretrained(tmp_path / 'vae')
    with pytest.raises(ValueError, match=r'vae/config\.json.*0\.13025.*0\.18215'):
        load_weights(tmp_path, vae=AutoencoderKL(**VAE))
    config = tmp_path / 'vae' / 'config.json'
    config.write_text(json.dumps(dict(_class_name='AutoencoderKL')))  # as in the folder of SD 1.4
    with pytest.raises(ValueError, match=r'vae/config\.json.*0\.18215.*0\.13025'):
        load_weights(tmp_path, vae=AutoencoderKL(**VAE, scaling_factor=0.13025))


def test_single_file_of_an_inpainting_model(source, target, kind, tmp_path):
    unet = UNet2DConditionModel(**UNETS[kind] | dict(in_channels=9))
    save_file(_compvis(source | dict(unet=unet), kind), tmp_path / 'inpainting.safetensors')
    with pytest.raises(ValueError, match=r'(?s)conv_in\.weight.*9.*3.*3\).*inpainting.*extra_latents'):
        load_weights(tmp_path / 'inpainting.safetensors', unet=target['unet'])


@pytest.mark.parametrize(
    'key, message',
    [
        ('lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight', 'LoRA'),
        ('backbone.unet.conv_in.weight', '`load_from`'),
        ('conv_in.weight', 'incomplete'),
    ],
)
def test_files_of_other_kinds(tmp_path, key, message):
    save_file({key: torch.zeros(2)}, tmp_path / 'other.safetensors')
    with pytest.raises(ValueError, match=message):
        load_weights(tmp_path / 'other.safetensors', unet=_modules('sd1', seed=1)['unet'])


@pytest.mark.parametrize('suffix', ['.ckpt', '.safetensors'])
@pytest.mark.parametrize('kept', [0, 1, 100, 0.5, 0.999])
def test_truncated_file(tmp_path, suffix, kept):
    weights = _compvis(_modules('sd1', seed=1), 'sd1')
    path = tmp_path / f'sd{suffix}'
    torch.save(weights, path) if suffix == '.ckpt' else save_file(weights, path)
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(RuntimeError, match=rf'sd\{suffix}.*incomplete'):
        load_weights(path, vae=AutoencoderKL(**VAE))


def test_truncated_shard(tmp_path):
    source, target = _modules('sd1', seed=1)['unet'], _modules('sd1', seed=2)['unet']
    source.save_pretrained(tmp_path / 'unet', max_shard_size='40KB')
    shard = min((tmp_path / 'unet').glob('*-00002-of-*'))
    shard.write_bytes(shard.read_bytes()[:-100])
    unchanged = _unchanged(target)
    with pytest.raises(RuntimeError, match=rf'{shard.name}.*incomplete'):
        load_weights(tmp_path, unet=target)
    assert unchanged()


@pytest.mark.parametrize('suffix', ['.ckpt', '.safetensors'])
@pytest.mark.parametrize(
    'content, message',
    [
        (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4265146304\n', 'git lfs'),
        (b'\n<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>', 'web'),
    ],
)
def test_pointers_and_web_pages(tmp_path, suffix, content, message):
    path = tmp_path / f'sd{suffix}'
    path.write_bytes(content)
    with pytest.raises(RuntimeError, match=rf'sd\{suffix}.*{message}'):
        load_weights(path, vae=AutoencoderKL(**VAE))


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(
        {'state_dict': _compvis(_modules('sd1', seed=1), 'sd1'), 'evil': Call(Path.touch, Path('executed'))}, 'sd.ckpt'
    )
    with pytest.raises(Exception, match=r'sd\.ckpt'):
        load_weights('sd.ckpt', vae=AutoencoderKL(**VAE))
    assert not Path('executed').exists()


def test_missing_file_and_unknown_module(tmp_path):
    unet = _modules('sd1', seed=1)['unet']
    for checkpoint in (tmp_path / 'sd.ckpt', 'weights/sd.safetensors', 'nowhere'):
        with pytest.raises(FileNotFoundError, match=str(checkpoint)):
            load_weights(checkpoint, unet=unet)
    with pytest.raises(TypeError, match="'text_encoder'.*'encoder'"):
        load_weights(tmp_path, encoder=unet)


# Text


def test_text_encoder_of_a_single_file(source, kind, tmp_path):
    _write_folder(source, tmp_path / 'arch')
    torch.save(_compvis(source, kind), tmp_path / 'sd.ckpt')

    encoder = SentenceEncoder(tmp_path / 'arch', 4)
    encoder.load(tmp_path / 'sd.ckpt', with_tokenizers=True)

    assert encoder.tokenizers['text_encoder']('a dog').input_ids == [49406, 320, 1929, 49407]
    _assert_same(encoder.clip, source['text_encoder'])


def test_text_encoder_of_a_folder_keeps_its_own_tokenizer(source, tmp_path):
    _write_folder(source, tmp_path)
    tokenizer = build_tokenizer('sd1-5')
    tokenizer.pad_token = 'dog</w>'
    tokenizer.save_pretrained(tmp_path / 'tokenizer')

    encoder = SentenceEncoder(tmp_path, 4)
    encoder.load(tmp_path, with_tokenizers=True)

    tokenizer = encoder.tokenizers['text_encoder']
    assert tokenizer('a', padding='max_length', max_length=4).input_ids == [49406, 320, 49407, 1929]
    _assert_same(encoder.clip, source['text_encoder'])


# SDXL


def _sdxl(arch, seed):
    torch.manual_seed(seed)
    modules = dict(unet=build_unet(arch), vae=build_vae(arch))
    modules |= {part: build_text_encoder(arch, part) for part in text_parts(arch)}
    for weight in [weight for module in modules.values() for weight in module.parameters()]:
        torch.nn.init.normal_(weight, std=0.1)
    return modules


OPEN_CLIP = {  # of transformers and of OpenCLIP
    'text_model.embeddings.token_embedding.weight': 'token_embedding.weight',
    'text_model.embeddings.position_embedding.weight': 'positional_embedding',
    'text_model.final_layer_norm': 'ln_final',
    'text_model.encoder.layers': 'transformer.resblocks',
    'layer_norm1': 'ln_1',
    'layer_norm2': 'ln_2',
    'mlp.fc1': 'mlp.c_fc',
    'mlp.fc2': 'mlp.c_proj',
    'self_attn': 'attn',
}


def _sdxl_file(modules):
    """The weights of SDXL in the layout of ``sd_xl_base_1.0.safetensors``."""
    weights = {name: value for name, value in _compvis(modules, 'sd1').items() if 'cond_stage_model' not in name}
    clip = 'conditioner.embedders.0.transformer.text_model.'
    weights |= {clip + name: value for name, value in modules['text_encoder'].state_dict().items()}
    weights[f'{clip}embeddings.position_ids'] = torch.arange(77)[None]
    second = 'conditioner.embedders.1.model.'
    weights[f'{second}logit_scale'] = torch.tensor(4.6)
    text = modules['text_encoder_2'].state_dict()
    weights[f'{second}text_projection'] = text.pop('text_projection.weight').T
    for name, value in text.items():
        if '.q_proj.' in name:
            value = torch.cat([text[name.replace('q_proj', part)] for part in ('q_proj', 'k_proj', 'v_proj')])
        if '.k_proj.' not in name and '.v_proj.' not in name:
            for theirs, original in OPEN_CLIP.items():
                name = name.replace(theirs, original)
            weights[second + name.replace('q_proj.', 'in_proj_')] = value
    return {name: value.contiguous() for name, value in weights.items()}


def test_single_file_of_sdxl(archs, tmp_path):
    source, target = (_sdxl(archs['sdxl'], seed) for seed in (1, 2))
    weights = _sdxl_file(source)
    save_file(weights, tmp_path / 'sd_xl_base_1.0.safetensors')

    load_weights(tmp_path / 'sd_xl_base_1.0.safetensors', **target)

    for part, module in target.items():
        _assert_same(module, source[part])
    unet = convert_ldm_unet_checkpoint(dict(weights), target['unet'].config)
    text = convert_open_clip_checkpoint(target['text_encoder_2'], weights, 'conditioner.embedders.1.model.')
    for converted, part in ((unet, 'unet'), (text, 'text_encoder_2')):
        assert converted.keys() == target[part].state_dict().keys()
        assert all(torch.equal(converted[name], value) for name, value in target[part].state_dict().items())


@pytest.mark.parametrize('variant', [None, 'fp16'])
def test_folder_of_sdxl(archs, tmp_path, variant):
    source, target = (_sdxl(archs['sdxl'], seed) for seed in (1, 2))
    _write_folder({part: module.half() for part, module in source.items()}, tmp_path, variant=variant)
    load_weights(tmp_path, variant=variant, **target)
    for part, module in target.items():
        assert module.dtype == torch.float32
        _assert_same(module, source[part].float())


def test_parts_of_sdxl_that_are_missing(archs, tmp_path):
    target = _sdxl(archs['sdxl'], 1)
    _write_folder(dict(unet=target['unet'], vae=target['vae']), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'text_encoder'[\s\S]*'text_encoder_2'"):
        load_weights(tmp_path, **target)
    with pytest.raises(FileNotFoundError, match='add a source of text_encoder_2'):
        load_weights(dict(unet=tmp_path, vae=tmp_path, text_encoder=tmp_path), **target)


def test_text_encoder_without_its_projection(archs, tmp_path):
    target = _sdxl(archs['sdxl'], 1)
    target['text_encoder_2'].text_model.save_pretrained(tmp_path / 'text_encoder_2')
    with pytest.raises(ValueError, match=r'1 missing:\s+text_projection\.weight'):
        load_weights(tmp_path, text_encoder_2=target['text_encoder_2'])


@pytest.mark.parametrize('part', ['text_encoder', 'text_encoder_2'])
def test_a_layer_too_many_in_a_text_encoder_of_sdxl(archs, tmp_path, part):
    weights, target = _sdxl_file(_sdxl(archs['sdxl'], 1)), _sdxl(archs['sdxl'], 2)
    key = {
        'text_encoder': 'conditioner.embedders.0.transformer.text_model.encoder.layers.2.mlp.fc1.bias',
        'text_encoder_2': 'conditioner.embedders.1.model.transformer.resblocks.3.ln_1.bias',
    }[part]
    save_file(weights | {key: torch.ones(3)}, tmp_path / 'sdxl.safetensors')
    with pytest.raises(ValueError, match=re.escape(key)):
        load_weights(tmp_path / 'sdxl.safetensors', **{part: target[part]})


def test_single_file_of_another_family(archs, tmp_path):
    """Without a text encoder that SDXL has, and with another U-Net."""
    modules, target = _sdxl(archs['sdxl'], 1), _modules('sd2', seed=2)
    save_file(_compvis(target, 'sd2'), tmp_path / 'sd.safetensors')
    with pytest.raises(ValueError, match=r'(?s)fit the text_encoder_2.*conditioner\.embedders\.1\.model'):
        load_weights(tmp_path / 'sd.safetensors', text_encoder_2=modules['text_encoder_2'])
    save_file(_sdxl_file(modules), tmp_path / 'sdxl.safetensors')
    with pytest.raises(ValueError, match='width 32 .*SDXL.*; the network is a U-Net for prompts of width 40'):
        load_weights(tmp_path / 'sdxl.safetensors', unet=target['unet'])


def test_folders_of_another_family(archs, target, tmp_path):
    """The message names the family, although the configs differ, too."""
    sdxl = _sdxl(archs['sdxl'], 1)
    _write_folder(dict(unet=sdxl['unet'], vae=sdxl['vae']), tmp_path / 'sdxl')
    with pytest.raises(ValueError, match=r'(?s)do not fit the unet.*width 32 .*SDXL.*the network is .*width'):
        load_weights(tmp_path / 'sdxl', unet=target['unet'], vae=target['vae'])
    _write_folder(target, tmp_path / 'sd')
    with pytest.raises(ValueError, match=r'(?s)do not fit the unet.*the network is .*width 32 .*SDXL'):
        load_weights(tmp_path / 'sd', unet=sdxl['unet'], vae=sdxl['vae'])
    with pytest.raises(FileNotFoundError, match="'text_encoder_2'.*Only SDXL.*arch"):
        load_weights(tmp_path / 'sd', **sdxl)


def test_a_plain_network_for_one_with_more_inputs(source, target, kind, tmp_path):
    _write_folder(dict(unet=source['unet']), tmp_path)
    unet = UNet2DConditionModel(**UNETS[kind] | dict(in_channels=8))
    with pytest.raises(ValueError, match=r'unet/config\.json: in_channels=4.*in_channels=8(?!.*Marigold).*arch'):
        load_weights(tmp_path, unet=unet)


def test_the_repaired_autoencoder_of_sdxl_is_noted(archs, tmp_path):
    vae, target = (_sdxl(archs['sdxl'], seed)['vae'] for seed in (1, 2))
    assert overflows_in_half(target.config)
    vae.register_to_config(force_upcast=False)
    vae.save_pretrained(tmp_path / 'repaired')
    load_weights(dict(vae=tmp_path / 'repaired'), vae=target)
    _assert_same(target, vae)
    assert not overflows_in_half(target.config)


def _write_empty(path, shapes):
    """Write a safetensors file of half precision whose values take no space on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = dict(dtype='F16', shape=shape, data_offsets=[start, end])
    text = json.dumps(header).encode()
    with path.open('wb') as file:
        file.write(len(text).to_bytes(8, 'little') + text)
        file.truncate(8 + len(text) + end)


@pytest.mark.slow
def test_single_file_of_sdxl_in_full_width(tmp_path):
    """Every name and shape of the published layout, without values."""
    with torch.device('meta'):
        modules = dict(unet=build_unet('sdxl'), vae=build_vae('sdxl'))
        modules |= {part: build_text_encoder('sdxl', part) for part in text_parts('sdxl')}
    shapes = {name: tuple(value.shape) for name, value in _sdxl_file(modules).items()}
    assert len([name for name in shapes if 'diffusion_model' in name]) == 1680
    path = tmp_path / 'sd_xl_base_1.0.safetensors'
    _write_empty(path, shapes)
    plan = plan_filling(locate(str(path), list(modules)), modules)
    assert sum(map(len, plan.values())) == sum(len(module.state_dict()) for module in modules.values())


# The hub


REPOSITORY = 'some-organisation/tiny.sd'


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A hub cache of our own, and no network."""
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'hub'))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    return tmp_path / 'hub'


def _put_in_cache(modules, cache, **options):
    repository = cache / 'models--some-organisation--tiny.sd'
    (repository / 'refs').mkdir(parents=True)
    (repository / 'refs' / 'main').write_text('1234')
    return _write_folder(modules, repository / 'snapshots' / '1234', **options)


def test_hub_id_in_the_cache(source, target, hub_cache):
    folder = _put_in_cache(source, hub_cache)
    build_tokenizer('sd2-1').save_pretrained(folder / 'tokenizer')
    load_weights(REPOSITORY, **target)
    _assert_all_same(target, source)

    encoder = SentenceEncoder(folder, 4)
    encoder.load(REPOSITORY, with_tokenizers=True)
    assert encoder.tokenizers['text_encoder'].pad_token == '!'
    _assert_same(encoder.clip, source['text_encoder'])


@pytest.mark.parametrize('cached', ['nothing', 'another part', 'another variant'])
def test_hub_id_without_network_says_what_to_do(hub_cache, cached):
    modules = _modules('sd1', seed=1)
    if cached != 'nothing':
        parts = {'vae': modules['vae']} if cached == 'another part' else modules
        _put_in_cache(parts, hub_cache, variant='fp16')
    with pytest.raises(RuntimeError) as error:
        load_weights(REPOSITORY, variant='bf16' if cached == 'another variant' else None, unet=modules['unet'])
    assert 'unet/diffusion_pytorch_model' in str(error.value)
    assert f'hf download {REPOSITORY} --include "unet/*"' in str(error.value)
