"""Which tensor fills which weight, on networks of a few weights; `test_loading` has whole ones."""

import pytest
import torch
from diffusers import AutoencoderKL
from peft import LoraConfig, inject_adapter_in_model
from safetensors.torch import save_file
from torch import nn

from mmdiffperc.weights.assignment import plan_filling
from mmdiffperc.weights.sources import Source

VAE = dict(block_out_channels=[8], norm_num_groups=4)


def folder_of(tmp_path, part, **files):
    """A folder whose part lies in these files, each a dict of tensors."""
    paths = []
    for name, tensors in files.items():
        paths.append(tmp_path / part / f'{name}.safetensors')
        paths[-1].parent.mkdir(exist_ok=True)
        save_file(tensors, paths[-1])
    return Source({part: paths})


def single_file(tmp_path, part, **tensors):
    save_file(tensors, tmp_path / 'sd.safetensors')
    return Source({part: [tmp_path / 'sd.safetensors']})


def planned(plan):
    return {assignment.key: (file.path.stem, assignment.third) for file, each in plan.items() for assignment in each}


def test_shards(tmp_path):
    module = nn.Linear(2, 3)
    source = folder_of(tmp_path, 'unet', a=dict(weight=torch.ones(3, 2)), b=dict(bias=torch.ones(3)))
    plan = plan_filling(source, dict(unet=module))
    assert planned(plan) == dict(weight=('a', None), bias=('b', None))
    for file, assignments in plan.items():
        assert not module.weight.eq(1).all() or not module.bias.eq(1).all()  # nothing is filled before
        file.fill(assignments)
    assert module.weight.eq(1).all() and module.bias.eq(1).all()


def test_an_adapter_is_not_in_the_checkpoint(tmp_path):
    module = nn.ModuleDict(dict(to_q=nn.Linear(2, 3, bias=False)))
    inject_adapter_in_model(LoraConfig(r=1, target_modules=['to_q']), module)
    source = folder_of(tmp_path, 'unet', a={'to_q.weight': torch.ones(3, 2)})
    assert planned(plan_filling(source, dict(unet=module))) == {'to_q.weight': ('a', None)}


@pytest.mark.parametrize('prefix', ['', 'text_model.'])
def test_both_names_of_a_text_encoder(tmp_path, prefix):
    module = nn.ModuleDict(dict(final_layer_norm=nn.LayerNorm(4, bias=False)))
    key = f'{prefix}final_layer_norm.weight'
    source = folder_of(tmp_path, 'text_encoder', a={key: torch.ones(4)})
    assert planned(plan_filling(source, dict(text_encoder=module))) == {key: ('a', None)}


FUSED = 'cond_stage_model.model.transformer.resblocks.0.attn.in_proj_weight'


def attention(*names):
    """Projections under the names that they have in a text encoder, without their biases."""
    projections = nn.ModuleDict({name: nn.Linear(2, 2, bias=False) for name in names})
    layers = nn.ModuleList([nn.ModuleDict(dict(self_attn=projections))])
    return nn.ModuleDict(dict(encoder=nn.ModuleDict(dict(layers=layers)))), projections


def test_thirds_of_open_clip(tmp_path):
    module, projections = attention('q_proj', 'k_proj', 'v_proj')
    source = single_file(tmp_path, 'text_encoder', **{FUSED: torch.arange(12.0).view(6, 2)})
    ((file, assignments),) = plan_filling(source, dict(text_encoder=module)).items()
    assert [assignment.third for assignment in assignments] == [0, 1, 2]
    file.fill(assignments)
    assert projections['k_proj'].weight.tolist() == [[4, 5], [6, 7]]


def test_a_third_of_the_wrong_size(tmp_path):
    module, _ = attention('q_proj')
    source = single_file(tmp_path, 'text_encoder', **{FUSED: torch.zeros(7, 2)})
    with pytest.raises(ValueError, match=r'q_proj\.weight.*\(2, 2\).*\(7, 2\)'):
        plan_filling(source, dict(text_encoder=module))


@pytest.mark.parametrize('shape', [(8, 8), (8, 8, 1, 1)])
def test_attention_of_an_autoencoder_may_be_a_convolution(tmp_path, shape):
    vae = AutoencoderKL(**VAE)
    weights = {name: weight.clone() for name, weight in vae.state_dict().items()}
    weights['encoder.mid_block.attentions.0.to_q.weight'] = torch.zeros(shape)
    assert len(planned(plan_filling(folder_of(tmp_path, 'vae', a=weights), dict(vae=vae)))) == len(weights)


def test_faults_are_counted_and_the_first_are_listed(tmp_path):
    module = nn.ModuleDict({f'layer{index}': nn.Linear(2, 3) for index in range(9)})
    tensors = {f'layer{index}.weight': torch.zeros(4, 2) for index in range(3)}
    with pytest.raises(ValueError) as error:
        plan_filling(folder_of(tmp_path, 'unet', a=tensors), dict(unet=module))
    message = str(error.value)
    assert 'a.safetensors' in message and 'unet' in message
    assert '15 missing' in message and 'layer0.bias' in message and '...' in message and 'layer5' not in message
    assert '\n3 ' in message and 'layer2.weight: (3, 2)' in message and '(4, 2)' in message
