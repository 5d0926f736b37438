import copy
import re

import pytest
import torch
from adapted_unet import TINY_SD, make_unet, output_of, to_old_layout, trained
from diffusers import StableDiffusionPipeline
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file, save_file

from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.lora import add_attention_lora, apply_lora, load_lora, save_lora, share_weights
from mmdiffperc.weights.lora_files import FILE_NAMES, find_lora, read_lora


def test_adapts_attention_and_nothing_else():
    every, own = trained(make_unet(r=2)), trained(make_unet(r=2, attention='self'))
    assert all('.lora_' in name for name in every)
    assert own == {name for name in every if '.attn1.' in name} and 2 * len(own) == len(every)


def test_starts_as_in_the_official_code():
    unet = build_unet(TINY_SD)
    add_attention_lora(unet, r=4)
    down = torch.cat([w.flatten() for name, w in unet.named_parameters() if '.lora_A.' in name])
    assert down.std().item() == pytest.approx(1 / 4, rel=0.03)
    assert all((w == 0).all() for name, w in unet.named_parameters() if '.lora_B.' in name)


@pytest.mark.parametrize('lora', [dict(r=3), dict(r=2, attention='self', lora_alpha=5)])
def test_save_and_load(tmp_path, lora):
    unet, other = make_unet(**lora), make_unet(r=7)
    save_lora(unet, tmp_path)
    assert not torch.allclose(output_of(other), output_of(unet), atol=1e-2)
    load_lora(other, tmp_path)
    torch.testing.assert_close(output_of(other), output_of(unet))
    assert trained(other) == trained(unet)


def pipeline_of(unet):
    return StableDiffusionPipeline(None, None, None, unet, None, None, None, requires_safety_checker=False)


def test_plain_pipeline_loads_ours(tmp_path):
    unet = make_unet(r=3, lora_alpha=6)
    save_lora(unet, tmp_path)
    pipeline = pipeline_of(make_unet())
    pipeline.load_lora_weights(tmp_path)
    torch.testing.assert_close(output_of(pipeline.unet), output_of(unet))


@pytest.mark.parametrize(
    ('attention', 'file_name'),
    [
        ('all', 'pytorch_lora_weights.safetensors'),
        ('self', 'pytorch_lora_weights.bin'),
        ('self', 'pytorch_model.bin'),
    ],
)
def test_released_layout(tmp_path, attention, file_name):
    unet, other = make_unet(r=3, attention=attention), make_unet()
    weights = to_old_layout(unet)
    assert any(name.endswith('.attn1.processor.to_out_lora.down.weight') for name in weights)
    path = tmp_path / file_name
    save_file(weights, path) if path.suffix == '.safetensors' else torch.save(weights, path)
    load_lora(other, tmp_path)
    torch.testing.assert_close(output_of(other), output_of(unet))


def test_adapter_of_another_base(tmp_path, arch):
    other = build_unet(arch)
    add_attention_lora(other, r=2)
    save_lora(other, tmp_path)
    unet = make_unet(r=4)
    before = output_of(unet)
    with pytest.raises(ValueError, match=str(tmp_path)) as error:
        load_lora(unet, tmp_path)
    assert 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight' in str(error.value)
    assert str(error.value).count('attn1.to_') == 3
    torch.testing.assert_close(output_of(unet), before)


@pytest.mark.parametrize(
    ('part', 'change', 'misfits'),
    [
        ('.lora_B.', None, [('A', '(3, 64)')]),
        ('.lora_A.', lambda weight: weight.repeat(2, 1), [('A', '(6, 64)'), ('B', '(64, 3)')]),
        ('.lora_B.', lambda weight: weight[0], [('A', '(3, 64)'), ('B', '(3,)')]),
    ],
)
def test_incomplete_adapter(tmp_path, part, change, misfits):
    """Without a half, with halves of different ranks, or with one of another form, it changes nothing."""
    unet = make_unet(r=3)
    save_lora(unet, tmp_path)
    weights = load_file(tmp_path / FILE_NAMES[0])
    key = next(key for key in weights if part in key)
    weight = weights.pop(key)
    if change:
        weights[key] = change(weight).contiguous()
    save_file(weights, tmp_path / FILE_NAMES[0])
    before = output_of(unet)
    with pytest.raises(ValueError, match=str(tmp_path)) as error:
        load_lora(unet, tmp_path)
    assert re.findall(r"lora_(.)\.weight': (\(.*?\)) ", str(error.value)) == misfits
    torch.testing.assert_close(output_of(unet), before)


def state_of(unet):
    """All that an adapter consists of, and all that it rests on."""
    layers = {name: module for name, module in unet.named_modules() if hasattr(module, 'lora_A')}
    return dict(
        modules={name: id(module) for name, module in unet.named_modules()},
        weights={name: (id(weight), weight.requires_grad) for name, weight in unet.named_parameters()},
        config=(id(unet.peft_config['default']), repr(unet.peft_config)) if unet._hf_peft_config_loaded else None,
        layers={name: (layer.scaling, layer.r, layer.active_adapters) for name, layer in layers.items()},
        training=[module.training for module in unet.modules()],
    )


@pytest.mark.parametrize('lora', [dict(r=4, attention='self', lora_alpha=6), {}])
@pytest.mark.parametrize(
    ('function', 'error'),
    [('set_peft_model_state_dict', torch.OutOfMemoryError), ('inject_adapter_in_model', KeyboardInterrupt)],
)
def test_failed_load_changes_nothing(tmp_path, monkeypatch, lora, function, error):
    """Neither an adapter nor a U-Net without one, when PEFT fails before or after it has replaced all layers."""

    def fail(*args, **kwargs):
        raise error

    save_lora(make_unet(r=3), tmp_path)
    unet = make_unet(**lora)
    before, output = state_of(unet), output_of(unet)
    copies = {name: weight.clone() for name, weight in unet.state_dict().items()}
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(f'peft.{function}', fail)
        load_lora(unet, tmp_path)
    assert state_of(unet) == before
    after = unet.state_dict()
    assert list(after) == list(copies) and all(torch.equal(after[name], copies[name]) for name in copies)
    assert torch.equal(output_of(unet), output)
    load_lora(unet, tmp_path)
    torch.testing.assert_close(output_of(unet), output_of(make_unet(r=3)))


def test_exchange_leaves_nothing_of_the_adapter_before(tmp_path):
    """A U-Net that had an adapter on all attention is as one that never had it."""
    save_lora(make_unet(r=2, attention='self'), tmp_path)
    used, fresh = make_unet(r=3), make_unet()
    for unet in (used, fresh):
        load_lora(unet, tmp_path)
    assert list(used.state_dict()) == list(fresh.state_dict())


def test_dropout_is_off_in_testing(tmp_path):
    save_lora(make_unet(r=2, lora_dropout=0.5), tmp_path)
    unet = make_unet()
    load_lora(unet, tmp_path)
    assert not any(module.training for module in unet.modules())
    assert torch.equal(output_of(unet), output_of(unet))
    unet.train()
    load_lora(unet, tmp_path)
    dropouts = [module for module in unet.modules() if isinstance(module, torch.nn.Dropout) and module.p == 0.5]
    assert dropouts and all(module.training for module in dropouts)


def test_layers_with_other_ranks_and_scalings(tmp_path):
    """What expressions chose when the model was built is written out layer by layer, and read from there."""
    unet = make_unet(r=3, lora_alpha=6, rank_pattern={r'.*attn1\.to_q': 2}, alpha_pattern={'attn2.to_v': 9})
    save_lora(unet, tmp_path)
    arguments, _ = read_lora(tmp_path / FILE_NAMES[0], make_unet())
    assert (arguments['r'], arguments['lora_alpha']) == (3, 6)
    assert set(arguments['rank_pattern'].values()) == {2} and set(arguments['alpha_pattern'].values()) == {9}
    other = make_unet()
    load_lora(other, tmp_path)
    scalings = {name: layer.scaling['default'] for name, layer in other.named_modules() if isinstance(layer, LoraLayer)}
    assert {scaling for name, scaling in scalings.items() if name.endswith('attn1.to_q')} == {3}
    assert {scaling for name, scaling in scalings.items() if name.endswith('attn2.to_v')} == {3}
    assert {scaling for name, scaling in scalings.items() if name.endswith('attn2.to_q')} == {2}
    torch.testing.assert_close(output_of(other), output_of(unet))


def test_shared_weights(tmp_path):
    """Two adapters on one base do not know of each other, and it can be used without either."""
    for folder, options in dict(one=dict(r=3), other=dict(r=2, attention='self')).items():
        save_lora(make_unet(**options), tmp_path / folder)
    base = make_unet()
    one, other = share_weights(base), share_weights(base)
    load_lora(one, tmp_path / 'one')
    load_lora(other, tmp_path / 'other')
    assert base.conv_in.weight is other.conv_in.weight is one.conv_in.weight
    expected = make_unet(r=3), make_unet(r=2, attention='self'), make_unet()
    for shared, alone in zip((one, other, base), expected, strict=True):
        assert torch.equal(output_of(shared), output_of(alone))


def test_no_adapter(tmp_path):
    with pytest.raises(ValueError, match='LoRA'):
        save_lora(make_unet(), tmp_path)
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        find_lora(tmp_path)
    save_file(dict(make_unet().conv_in.state_dict()), tmp_path / 'base.safetensors')
    with pytest.raises(ValueError, match=r'base\.safetensors'):
        load_lora(make_unet(), tmp_path / 'base.safetensors')


def test_unknown_attention():
    with pytest.raises(ValueError, match="attention='cross'"):
        make_unet(attention='cross')


def test_an_adapter_fused_into_the_weights(tmp_path):
    """As diffusers fuses it, without a trace of the adapter."""
    save_lora(make_unet(r=3, lora_alpha=6), tmp_path)
    ours, theirs = make_unet(), make_unet()
    names, frozen = list(ours.state_dict()), ours.conv_in.requires_grad_(False)
    apply_lora(ours, tmp_path)
    pipeline = pipeline_of(theirs)
    pipeline.load_lora_weights(tmp_path)
    pipeline.fuse_lora(components=['unet'])
    pipeline.unload_lora_weights()
    assert list(ours.state_dict()) == names and not hasattr(ours, 'peft_config')
    assert not frozen.weight.requires_grad and ours.conv_out.weight.requires_grad
    assert not torch.allclose(output_of(ours), output_of(make_unet()), atol=1e-2)
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight)


def test_an_adapter_of_layers_that_the_backbone_removed(tmp_path):
    save_lora(make_unet(r=3), tmp_path)
    ours, whole = make_unet(), make_unet()
    ours.up_blocks = ours.up_blocks[:2]
    exchanged = copy.deepcopy(ours)
    load_lora(exchanged, tmp_path)
    removed = 'up_blocks.2', 'up_blocks.3'
    assert trained(exchanged) == {name for name in trained(make_unet(r=3)) if not name.startswith(removed)}
    for unet in (ours, whole):
        apply_lora(unet, tmp_path)
    for name, weight in ours.state_dict().items():
        torch.testing.assert_close(weight, whole.state_dict()[name])


def test_an_adapter_fills_the_one_that_the_model_was_built_with(tmp_path):
    source, ours = make_unet(r=3, lora_alpha=6), make_unet(r=3, lora_alpha=6)
    torch.nn.init.zeros_(ours.get_parameter(min(trained(ours))))
    save_lora(source, tmp_path)
    names = list(ours.state_dict())
    apply_lora(ours, tmp_path)
    assert list(ours.state_dict()) == names
    torch.testing.assert_close(output_of(ours), output_of(source))


def test_the_dropout_is_that_of_the_model(tmp_path):
    save_lora(make_unet(r=3), tmp_path)
    unet = make_unet(r=3, lora_dropout=0.3)
    apply_lora(unet, tmp_path)
    assert {layer.p for name, layer in unet.named_modules() if name.endswith('lora_dropout.default')} == {0.3}


@pytest.mark.parametrize('load', [load_lora, apply_lora])
def test_an_adapter_of_removed_layers_only(tmp_path, load):
    save_lora(make_unet(r=3, target_modules=r'up_blocks\.2.*attn1\.to_q'), tmp_path)
    unet = make_unet()
    unet.up_blocks = unet.up_blocks[:2]
    with pytest.raises(ValueError, match=rf'{tmp_path}.*up_blocks\.2.*removed'):
        load(unet, tmp_path)


@pytest.mark.parametrize('lora', [dict(r=4, lora_alpha=8), dict(r=3), dict(r=3, lora_alpha=6, attention='self')])
def test_another_adapter_than_the_model_was_built_with(tmp_path, lora):
    save_lora(make_unet(r=3, lora_alpha=6), tmp_path)
    unet = make_unet(**lora)
    with pytest.raises(ValueError, match=rf'{tmp_path}.*\(3, 2\.0\).*lora_alpha'):
        apply_lora(unet, tmp_path)
    torch.testing.assert_close(output_of(unet), output_of(make_unet(**lora)))


def test_a_fused_adapter_of_another_base(tmp_path, arch):
    other = build_unet(arch)
    add_attention_lora(other, r=2)
    save_lora(other, tmp_path)
    unet = make_unet()
    with pytest.raises(ValueError, match=str(tmp_path)):
        apply_lora(unet, tmp_path)
    torch.testing.assert_close(output_of(unet), output_of(make_unet()))
