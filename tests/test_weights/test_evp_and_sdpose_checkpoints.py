"""The official checkpoints of EVP and SDPose: every key is accounted for, in each of their layouts."""

import gzip
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch
from convert_checkpoint import main
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmpose.apis import init_model
from mmpose.models.heads import HeatmapHead
from tiny_arch import write_changed_arch, write_diffusers_folder

from mmdiffperc.models.prompts import SharedTextPrompts
from mmdiffperc.pose import InstanceNormHeatmapHead
from mmdiffperc.weights.architectures import build_text_encoder, build_unet, build_vae
from mmdiffperc.weights.compvis import unet_key_map, vae_key_map
from mmdiffperc.weights.official_checkpoints import convert, read_checkpoint, recognise

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'
EVP = {
    'depth': ('evp/evp_sd1-5_2xb2-15e_nyu-480x480.py', 'EVP depth', 'encoder.', 'clip_model.transformer.text_model.'),
    'mean caption': (
        'evp/evp-mean-caption_sd1-5_2xb2-15e_nyu-480x480.py',
        'EVP depth',
        'encoder.',
        'clip_model.transformer.',
    ),
    'refer': ('evp/evp_sd1-5-refer_2xb3-20e_refcoco-512x512.py', 'EVP referring segmentation', '', 'clip_model.'),
}
COUNTER = 'num_batches_tracked'


def official_evp(kind):
    """Keys and shapes of a checkpoint at full width: the recorded ones, and Stable Diffusion 1.5 in CompVis' names."""
    _, _, prefix, clip = EVP[kind]
    folder = ROOT / 'tests/parity' / ('evp_refer' if kind == 'refer' else 'evp_depth')
    recorded = json.loads(gzip.decompress((folder / 'manifest.json.gz').read_bytes()))
    weights = {key: torch.empty(shape) for key, shape, _ in recorded if not key.endswith(COUNTER)}
    unet, vae, text_encoder = build_unet('sd1-5'), build_vae('sd1-5'), build_text_encoder('sd1-5')
    names = unet_key_map(unet.config)
    for name, weight in unet.state_dict().items():
        if kind == 'refer' or not names[name].startswith('out.'):
            weights[f'{prefix}unet.unet.diffusion_model.{names[name]}'] = weight
    names = vae_key_map(vae.config)
    for name, weight in vae.state_dict().items():
        if name.startswith(('encoder', 'quant_conv')):
            is_attention = '.mid.attn_1.' in names[name] and weight.dim() == 2
            weights[f'{prefix}encoder_vq.{names[name]}'] = weight[..., None, None] if is_attention else weight
    weights |= {f'{prefix}{clip}{name}': weight for name, weight in text_encoder.state_dict().items()}
    weights[f'{prefix}{clip}embeddings.position_ids'] = torch.empty(1, 77)
    if kind != 'refer':
        weights['conditional_log_binomial.log_binomial_transform.k_idx'] = torch.empty(1, 64, 1, 1)
        weights['conditional_log_binomial.log_binomial_transform.K_minus_1'] = torch.empty(1)
    if kind == 'mean caption':
        weights['encoder.class_embeddings'] = torch.empty(1, 40, 768)
    return weights


@pytest.mark.parametrize('kind', EVP)
def test_every_key_of_evp(kind):
    name, layout_name, *_ = EVP[kind]
    config = Config.fromfile(CONFIGS / name)
    init_default_scope(config.default_scope)
    with torch.device('meta'):
        weights, model = official_evp(kind), MODELS.build(config.model)
    layout = recognise(weights)
    assert layout.name == layout_name
    converted = convert(weights, layout, model)
    names = {name for name in model.state_dict() if not name.endswith(COUNTER)}
    assert set(converted) == names
    assert kind == 'mean caption' or any('text_encoder' in name for name in names)
    if kind != 'mean caption':
        assert CONFIGS / layout.config == CONFIGS / name
    key = next(key for key in weights if key.endswith('aggregation.layer6.channel_attention.1.bias'))
    del weights[key]
    with pytest.raises(ValueError, match=rf'missing {key} \(our neck\.downs\.2\.channel_attention\.1\.bias\)'):
        convert(weights, layout, model)
    with pytest.raises(ValueError, match='unexpected aggregation.layer8'):
        convert({**weights, 'aggregation.layer8.conv1.bias': torch.empty(2)}, layout, model)


KEYPOINTS = 17


@pytest.fixture(scope='module')
def sdpose(tmp_path_factory):
    """A folder of SDPose in miniature, and a config for it."""
    folder = tmp_path_factory.mktemp('sdpose')
    task = dict(class_embed_type='projection', projection_class_embeddings_input_dim=4)
    arch = write_changed_arch(folder / 'arch', 'unet', 'sd2', **task)
    write_diffusers_folder(folder / 'official', arch)
    config = Config.fromfile(CONFIGS / 'sdpose/td-hm_sdpose-sd2_8xb16-40e_coco-256x192.py')
    config.model.backbone.update(arch=arch, init_cfg=None)
    config.model.backbone.prompts.checkpoint = None
    config.model.head.update(in_channels=16, deconv_out_channels=(16,), conv_out_channels=(16,))
    config.dump(folder / 'config.py')
    head = {name: value for name, value in config.model.head.items() if name not in ('type', 'loss')}
    weights = InstanceNormHeatmapHead(**head).state_dict()
    weights = {name: torch.randn_like(weight) / weight[0].numel() ** 0.5 for name, weight in weights.items()}
    (folder / 'official' / 'decoder').mkdir()
    safetensors.torch.save_file(weights, folder / 'official' / 'decoder' / 'decoder.safetensors')
    assert set(weights) == {
        'deconv_layers.0.weight',
        'conv_layers.0.weight',
        'conv_layers.0.bias',
        'final_layer.weight',
        'final_layer.bias',
    }
    return folder


def run(folder, *arguments):
    return main([*map(str, arguments), '--out-file', str(folder / 'ours.pth')])


def assert_is_official(model, folder):
    """Compare with the parts of the folder."""
    unet = safetensors.torch.load_file(folder / 'official/unet/diffusion_pytorch_model.safetensors')
    assert all(torch.equal(model.backbone.unet.state_dict()[name], weight) for name, weight in unet.items())
    assert len(unet) == len(model.backbone.unet.state_dict())
    prompts = SharedTextPrompts(str(folder / 'arch'), 20)
    prompts.init_embeddings(None, str(folder / 'official'))
    torch.testing.assert_close(model.backbone.prompts(1), prompts(1))


def test_folder_of_sdpose(sdpose, tmp_path):
    """The U-Net is whole, because its output layer is part of the second task; the text encoder gives the prompts."""
    assert recognise(read_checkpoint(sdpose / 'official')).name == 'SDPose'
    assert run(tmp_path, sdpose / 'official', '--config', sdpose / 'config.py') == 0
    model = init_model(str(sdpose / 'config.py'), str(tmp_path / 'ours.pth'), device='cpu')
    assert_is_official(model, sdpose)
    head = safetensors.torch.load_file(sdpose / 'official/decoder/decoder.safetensors')
    assert all(torch.equal(model.head.state_dict()[name], weight) for name, weight in head.items())
    assert model.dataset_meta['num_keypoints'] == KEYPOINTS


def as_comfyui(folder):
    """One file in half precision, with the names of CompVis."""
    weights = read_checkpoint(folder / 'official')
    unet, vae = build_unet(str(folder / 'arch')), build_vae(str(folder / 'arch'))
    names = {f'unet.{ours}': f'model.diffusion_model.{theirs}' for ours, theirs in unet_key_map(unet.config).items()}
    names |= {f'vae.{ours}': f'first_stage_model.{theirs}' for ours, theirs in vae_key_map(vae.config).items()}
    file = {}
    for key, weight in weights.items():
        name = names.get(key, key.replace('decoder.', 'heatmap_head.', 1))
        if name.startswith('first_stage_model') and '.mid.attn_1.' in name and weight.dim() == 2:
            weight = weight[..., None, None]
        file[name] = weight.half().contiguous()
    return file


def test_file_for_comfyui(sdpose, tmp_path, capsys):
    file = as_comfyui(sdpose)
    assert 'model.diffusion_model.label_emb.0.2.weight' in file and 'heatmap_head.final_layer.bias' in file
    safetensors.torch.save_file(file, tmp_path / 'sdpose.safetensors')
    assert run(tmp_path, tmp_path / 'sdpose.safetensors', '--config', sdpose / 'config.py') == 0
    assert 'text encoder' in capsys.readouterr().out
    options = {'model.backbone.prompts.checkpoint': str(sdpose / 'official')}
    model = init_model(str(sdpose / 'config.py'), str(tmp_path / 'ours.pth'), device='cpu', cfg_options=options)
    weight = model.backbone.unet.class_embedding.linear_1.weight
    torch.testing.assert_close(weight, file['model.diffusion_model.label_emb.0.0.weight'].float())
    with pytest.raises(RuntimeError, match=r'model\.backbone\.prompts\.checkpoint'):
        init_model(str(sdpose / 'config.py'), str(tmp_path / 'ours.pth'), device='cpu')


def test_head_of_mmpose_is_refused(sdpose, tmp_path, capsys):
    """Its batch normalisation has weights and statistics that SDPose's head does not have."""
    config = Config.fromfile(sdpose / 'config.py')
    config.model.head.type = 'HeatmapHead'
    config.dump(tmp_path / 'config.py')
    assert run(tmp_path, sdpose / 'official', '--config', tmp_path / 'config.py') == 1
    assert 'missing decoder.deconv_layers.1.weight' in capsys.readouterr().err
    assert run(tmp_path, sdpose / 'official', '--config', sdpose / 'config.py') == 0
    with pytest.raises(RuntimeError, match=r'lacks .* head\.deconv_layers\.1\.weight'):
        init_model(str(tmp_path / 'config.py'), str(tmp_path / 'ours.pth'), device='cpu')
    assert isinstance(MODELS.build(dict(config.model.head)), HeatmapHead)


def test_bad_files(sdpose, tmp_path, capsys):
    (tmp_path / 'sdpose.safetensors').write_bytes(b'no weights')
    assert run(tmp_path, tmp_path / 'sdpose.safetensors') == 1
    assert 'sdpose.safetensors: damaged' in capsys.readouterr().err
    assert run(tmp_path, sdpose / 'arch') == 1
    assert 'unet holds no weights' in capsys.readouterr().err
    other = Config.fromfile(sdpose / 'config.py')
    other.model.head.out_channels = 133
    other.dump(tmp_path / 'other.py')
    assert run(tmp_path, sdpose / 'official', '--config', tmp_path / 'other.py') == 1
    assert 'decoder.final_layer.weight is (17, 16, 1, 1), expected (133, 16, 1, 1)' in capsys.readouterr().err
