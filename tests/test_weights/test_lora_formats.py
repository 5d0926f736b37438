"""Adapters that other programs wrote; diffusers and PEFT, which read them as well, say what they must do."""

import json
import math
import re

import pytest
import torch
from adapted_unet import make_unet, output_of, to_old_layout
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from mmdiffperc.weights.compvis import unet_key_map
from mmdiffperc.weights.lora import load_lora
from mmdiffperc.weights.lora_files import FILE_NAMES, read_lora

# Linear layers and convolutions of 1 and 3 pixels, and a layer whose name has numbers and underscores.
TARGETS = ['attn2.to_q', 'to_out.0', 'ff.net.0.proj', 'conv1', 'conv_shortcut', 'time_emb_proj', 'proj_in']
LAYER = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q'
TEXT_LAYER = 'encoder.layers.0.self_attn.q_proj'


def weights_of(unet):
    """The weights of an adapter by the names of PEFT."""
    return {
        name.replace('.default', ''): weight.detach()
        for name, weight in unet.named_parameters()
        if '.lora_' in name and '.default' in name
    }


def to_kohya(weights, alpha):
    kohya = {}
    for name, weight in weights.items():
        layer, _, part = name.partition('.lora_')
        flat = 'lora_unet_' + layer.replace('.', '_')
        kohya[f'{flat}.lora_{"down" if part == "A.weight" else "up"}.weight'] = weight
        kohya[f'{flat}.alpha'] = torch.tensor(alpha)
    return kohya


def text_weights(rank=2):
    return {'lora_A': torch.ones(rank, 96), 'lora_B': torch.ones(96, rank)}


def loaded_by_diffusers(path):
    unet = make_unet()
    weights, alphas = StableDiffusionPipeline.lora_state_dict(path)
    StableDiffusionPipeline.load_lora_into_unet(weights, alphas, unet)
    return unet


@pytest.mark.parametrize('suffix', ['.safetensors', '.bin'])
def test_kohya(tmp_path, suffix):
    """Its scaling is 5 / 2; what it changes of the text encoder is not used."""
    weights = to_kohya(weights_of(make_unet(r=2, target_modules=TARGETS)), 5.0)
    assert 'lora_unet_down_blocks_0_resnets_0_time_emb_proj.alpha' in weights
    text = 'lora_te_text_model_encoder_layers_0_self_attn_q_proj'
    weights |= {
        f'{text}.lora_down.weight': text_weights()['lora_A'],
        f'{text}.lora_up.weight': text_weights()['lora_B'],
    }
    weights[f'{text}.alpha'] = torch.tensor(1.0)
    path = tmp_path / f'kohya{suffix}'
    save_file(weights, path) if suffix == '.safetensors' else torch.save(weights, path)
    unet = make_unet()
    load_lora(unet, path)
    scalings = {module.scaling['default'] for module in unet.modules() if hasattr(module, 'lora_A')}
    assert scalings == {2.5}
    torch.testing.assert_close(output_of(unet), output_of(loaded_by_diffusers(path)))


def test_unet_and_text_encoder_together(tmp_path):
    adapted = make_unet(r=3, lora_alpha=6)
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=weights_of(adapted),
        text_encoder_lora_layers={f'{TEXT_LAYER}.{name}.weight': weight for name, weight in text_weights().items()},
        unet_lora_adapter_metadata=adapted.peft_config['default'].to_dict(),
        text_encoder_lora_adapter_metadata=LoraConfig(r=2, lora_alpha=9).to_dict(),
    )
    unet = make_unet()
    load_lora(unet, tmp_path)
    assert unet.get_submodule(LAYER).scaling['default'] == 2
    torch.testing.assert_close(output_of(unet), output_of(adapted))


@pytest.mark.parametrize('prefix', ['', 'unet.'])
def test_diffusers_of_2023(tmp_path, prefix):
    """The attention processors, beside a text encoder as diffusers wrote it then."""
    adapted = make_unet(r=3)
    weights = {prefix + name: weight for name, weight in to_old_layout(adapted).items()}
    text = f'text_encoder.text_model.{TEXT_LAYER}.lora_linear_layer'
    weights |= {f'{text}.down.weight': text_weights()['lora_A'], f'{text}.up.weight': text_weights()['lora_B']}
    save_file(weights, tmp_path / 'old.safetensors')
    unet = make_unet()
    load_lora(unet, tmp_path / 'old.safetensors')
    torch.testing.assert_close(output_of(unet), output_of(adapted))


def renamed(weights, prefix, down, up):
    """Weights with another prefix and other names for the two products."""
    names = {'.lora_A.weight': down, '.lora_B.weight': up}
    return {prefix + name[:-14] + names[name[-14:]]: weight for name, weight in weights.items()}


@pytest.mark.parametrize(
    ('prefix', 'down', 'up'),
    [
        ('unet.', '.lora_linear_layer.down.weight', '.lora_linear_layer.up.weight'),
        ('', '.lora_layer.down.weight', '.lora_layer.up.weight'),
        ('diffusion_model.', '.lora_A.weight', '.lora_B.weight'),
        ('diffusion_model.', '.lora_down.weight', '.lora_up.weight'),
        ('model.diffusion_model.', '.lora_down.weight', '.lora_up.weight'),
        ('unet.', '.lora_A.default_0.weight', '.lora_B.default_0.weight'),
    ],
)
def test_other_names_for_the_same(tmp_path, prefix, down, up):
    adapted = make_unet(r=2)
    save_file(renamed(weights_of(adapted), prefix, down, up), tmp_path / 'other.safetensors')
    unet = make_unet()
    load_lora(unet, tmp_path / 'other.safetensors')
    torch.testing.assert_close(output_of(unet), output_of(adapted))


@pytest.mark.parametrize('prefix', ['diffusion_model.', 'lora_unet_'])
def test_the_names_of_the_original_code(tmp_path, prefix):
    """In tiny-sd, with one layer a level: the first attention is input block 1, the middle one is middle block 1."""
    unet = make_unet()
    layers = {
        'input_blocks.1.1.transformer_blocks.0.attn1.to_q': LAYER,
        'middle_block.1.transformer_blocks.0.attn2.to_out.0': (
            'mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0'
        ),
    }
    weights = {}
    for original, layer in layers.items():
        height, width = unet.get_submodule(layer).weight.shape
        name = original if '.' in prefix else original.replace('.', '_')
        weights[f'{prefix}{name}.lora_down.weight'] = torch.ones(2, width)
        weights[f'{prefix}{name}.lora_up.weight'] = torch.full((height, 2), 3.0)
        weights[f'{prefix}{name}.alpha'] = torch.tensor(4.0)
    save_file(weights, tmp_path / 'original.safetensors')
    arguments, found = read_lora(tmp_path / 'original.safetensors', unet)
    assert set(arguments['target_modules']) == set(layers.values())
    assert arguments['lora_alpha'] == 4 and found[f'{LAYER}.lora_B.weight'].eq(3).all()


def test_between_both(tmp_path):
    """Of diffusers 0.22: ``to_q.lora.down.weight``, with a scaling of 5 / 2 for one layer."""
    adapted = make_unet(r=2)
    names = {'lora_A': 'lora.down', 'lora_B': 'lora.up'}
    weights = {}
    for name, weight in weights_of(adapted).items():
        layer, part, _ = name.rsplit('.', 2)
        weights[f'unet.{layer}.{names[part]}.weight'] = weight
    adapted.get_submodule(LAYER).scaling['default'] = 2.5
    save_file(weights | {f'unet.{LAYER}.lora.alpha': torch.tensor(5.0)}, tmp_path / FILE_NAMES[0])
    unet = make_unet()
    load_lora(unet, tmp_path)
    torch.testing.assert_close(output_of(unet), output_of(adapted))


def write_with_peft(folder, **options):
    """Write an adapter with PEFT itself, whose scaling lies in a second file; return what it does."""
    config = LoraConfig(r=4, target_modules=['to_q', 'conv1'], init_lora_weights=False, **options)
    torch.manual_seed(3)
    model = get_peft_model(make_unet(), config)
    model.save_pretrained(folder)
    return output_of(model.base_model.model)


@pytest.mark.parametrize(
    ('options', 'scaling'), [(dict(lora_alpha=6), 1.5), (dict(lora_alpha=6, use_rslora=True), 3.0)]
)
def test_peft(tmp_path, options, scaling):
    expected = write_with_peft(tmp_path, **options)
    assert (tmp_path / 'adapter_model.safetensors').is_file()
    unet = make_unet()
    load_lora(unet, tmp_path)
    assert unet.get_submodule(LAYER).scaling['default'] == scaling
    torch.testing.assert_close(output_of(unet), expected)


def test_peft_with_the_name_of_the_adapter(tmp_path):
    expected = write_with_peft(tmp_path, lora_alpha=6)
    path = tmp_path / 'adapter_model.safetensors'
    save_file({name.replace('.weight', '.default.weight'): weight for name, weight in load_file(path).items()}, path)
    unet = make_unet()
    load_lora(unet, tmp_path)
    torch.testing.assert_close(output_of(unet), expected)


@pytest.mark.parametrize('prefix', ['', 'unet.'])
def test_peft_without_its_settings(tmp_path, prefix):
    write_with_peft(tmp_path)
    path = tmp_path / 'adapter_model.safetensors'
    save_file({prefix + name: weight for name, weight in load_file(path).items()}, path)
    (tmp_path / 'adapter_config.json').unlink()
    with pytest.raises(ValueError, match='PEFT.*adapter_config.json'):
        load_lora(make_unet(), tmp_path)


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('lora_alpha', math.nan, 'nan'),
        ('use_dora', True, 'use_dora'),
        ('init_lora_weights', 'pissa_niter_4', 'pissa_niter_4.*base'),
        ('init_lora_weights', 'olora', 'olora.*base'),
        ('r', 7, r'\b7\b.*\b4\b'),
        ('rank_pattern', {'(.*.*.*)*x': 4}, 'rank_pattern'),
    ],
)
def test_bad_settings_of_peft(tmp_path, field, value, words):
    write_with_peft(tmp_path)
    settings = tmp_path / 'adapter_config.json'
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {field: value}))
    with pytest.raises(ValueError, match=words):
        load_lora(make_unet(), tmp_path)


FLAT = 'lora_unet_' + LAYER.replace('.', '_')


@pytest.mark.parametrize(
    ('names', 'words'),
    [
        ([f'{FLAT}.hada_w1_a'], "kohya's.*LoHa"),
        ([f'{FLAT}.lora_down.weight', f'{FLAT}.dora_scale'], "kohya's.*DoRA"),
        ([f'{FLAT}.lora_down.weight', f'{FLAT}.lora_mid.weight'], 'Tucker'),
        ([f'{FLAT}.lokr_w1'], 'LoKr'),
        ([f'unet.{LAYER}.lora_A.weight', f'unet.{LAYER}.lora_magnitude_vector'], 'diffusers.*DoRA'),
        (['lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight'], "kohya's.*SDXL"),
        (['unet.x.lora_A.weight', 'text_encoder_2.encoder.layers.0.q_proj.lora_A.weight'], 'diffusers.*SDXL'),
        (['unet.down_blocks.2.attentions.1.transformer_blocks.9.attn1.to_q.lora_A.weight'], 'diffusers.*SDXL'),
        (['base_model.model.mid_block.attentions.0.transformer_blocks.3.ff.net.2.lora_A.weight'], 'PEFT.*SDXL'),
        (['lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn1_to_q.lora_down.weight'], "kohya's.*SDXL"),
        (['diffusion_model.output_blocks.0.1.transformer_blocks.5.attn1.to_q.lora_down.weight'], 'ComfyUI.*SDXL'),
        (['unet.up_blocks.0.attentions.0.proj_in.lora_A.weight'], 'diffusers.*SDXL'),
        (['unet.add_embedding.linear_1.lora_A.weight'], 'diffusers.*SDXL'),
        (['down_blocks.0.motion_modules.0.transformer_blocks.0.attn1.to_q.lora_A.weight'], 'AnimateDiff'),
        (['base_model.model.transformer_blocks.0.attn.to_q.lora_A.weight'], 'SD 3.*FLUX'),
        (['diffusion_model.layers.0.attention.qkv.lora_A.weight'], 'diffusion transformer'),
        (['unet.encoder.to_q.lora_A.weight', f'unet.{LAYER}x.lora_A.weight'], 'to_qx'),
        ([f'unet.{LAYER}.lora_A.one.weight', f'unet.{LAYER}.lora_A.two.weight'], "adapters.*'one, two'"),
        (['transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight'], 'FLUX'),
        (['lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight'], 'FLUX'),
        (['lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight'], "kohya's.*text encoder"),
        ([f'text_encoder.{TEXT_LAYER}.lora_A.weight'], 'text encoder'),
        ([f'base_model.model.{TEXT_LAYER}.lora_A.weight'], 'PEFT.*text encoder'),
        (['conv_in.weight'], 'LoRA.*checkpoint'),
        ([f'unet.{LAYER}.lora_A.weight'], 'trained on'),
    ],
)
def test_others_are_named(tmp_path, names, words):
    path = tmp_path / 'other.safetensors'
    save_file({name: torch.zeros(2, 5) for name in names}, path)
    with pytest.raises(ValueError, match=f'(?s){words}') as error:
        read_lora(path, make_unet())
    assert str(path) in str(error.value)
    assert ('trained on' in str(error.value)) == ('trained on' in words)


def test_sdxl_by_the_width_of_its_prompts(tmp_path):
    """Where its other layers have the names of Stable Diffusion 1.x."""
    key = 'unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_{}.weight'
    save_file({key.format('A'): torch.zeros(4, 2048), key.format('B'): torch.zeros(640, 4)}, tmp_path / 'x.safetensors')
    with pytest.raises(ValueError, match='SDXL'):
        read_lora(tmp_path / 'x.safetensors', make_unet())


# SDXL: the transformers have several blocks


@pytest.fixture(scope='module')
def sdxl_adapter(archs):
    """SDXL's U-Net with an adapter that changes something, and its weights by the names of PEFT."""
    unet = make_unet(archs['sdxl'], r=2, target_modules=['attn1.to_q', 'attn2.to_k', 'ff.net.2', 'proj_out'])
    return unet, weights_of(unet)


def kohya_of_sdxl(unet, weights):
    """Only for SDXL does kohya use the names of the original code."""
    key_map = {weight: original.removesuffix('.weight') for weight, original in unet_key_map(unet.config).items()}
    original = {}
    for name, weight in weights.items():
        layer, _, part = name.partition('.lora_')
        original[f'{key_map[f"{layer}.weight"]}.lora_{part}'] = weight
    return to_kohya(original, 5.0)


@pytest.mark.parametrize('layout', ['kohya', 'diffusers', 'PEFT'])
def test_adapter_of_sdxl(archs, sdxl_adapter, tmp_path, layout):
    adapted, weights = sdxl_adapter
    if layout == 'kohya':
        content = kohya_of_sdxl(adapted, weights)
        assert 'lora_unet_input_blocks_7_1_transformer_blocks_2_attn1_to_q.lora_down.weight' in content
        text = f'lora_te2_text_model_{TEXT_LAYER.replace(".", "_")}'  # not used
        content |= {f'{text}.lora_{part}.weight': torch.ones(2, 2) for part in ('down', 'up')}
        path = tmp_path / 'kohya.safetensors'
    elif layout == 'diffusers':
        content = {f'unet.{name}': weight for name, weight in weights.items()}
        path = tmp_path / FILE_NAMES[0]
    else:
        content = {f'base_model.model.{name}': weight for name, weight in weights.items()}
        path = tmp_path / 'adapter_model.safetensors'
        settings = dict(r=2, lora_alpha=5, target_modules=['to_q'], peft_type='LORA')
        (tmp_path / 'adapter_config.json').write_text(json.dumps(settings))
    save_file(content, path)
    unet = make_unet(archs['sdxl'])
    load_lora(unet, path)
    expected = make_unet(archs['sdxl'])
    state, alphas = StableDiffusionXLPipeline.lora_state_dict(str(path), unet_config=unet.config)
    if layout == 'PEFT':  # which diffusers does not read
        state, alphas = {f'unet.{name}': weight for name, weight in weights.items()}, {}
    StableDiffusionXLPipeline.load_lora_into_unet(state, alphas, expected)
    ours, theirs = weights_of(unet), weights_of_any(expected)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    scaling = {module.scaling['default'] for module in unet.modules() if hasattr(module, 'lora_A')}
    assert scaling == {1.0 if layout == 'diffusers' else 2.5}


def weights_of_any(unet):
    """As `weights_of`, for an adapter of any name."""
    return {
        re.sub(r'(lora_[AB])\.\w+\.', r'\1.', name): weight.detach()
        for name, weight in unet.named_parameters()
        if '.lora_' in name
    }


def test_an_adapter_of_another_base_for_sdxl(archs, tmp_path):
    save_file(
        {f'unet.{name}': weight for name, weight in weights_of(make_unet(r=2)).items()}, tmp_path / 'x.safetensors'
    )
    with pytest.raises(ValueError, match='trained on.*SDXL'):
        read_lora(tmp_path / 'x.safetensors', make_unet(archs['sdxl']))
