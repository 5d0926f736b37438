"""Files of strangers: each is one of ours with one thing changed."""

import json
import math

import pytest
import torch
from adapted_unet import make_unet, output_of, to_old_layout
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from mmdiffperc.weights.lora import load_lora, save_lora
from mmdiffperc.weights.lora_files import FILE_NAMES, read_lora

METADATA = 'lora_adapter_metadata'
LAYER = 'down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q'
# Matching it with the layer's name takes longer than the universe has existed.
ENDLESS = r'(.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*)*x'


@pytest.fixture(scope='module')
def unet():
    return make_unet()


@pytest.fixture(scope='module')
def ours(tmp_path_factory):
    """The weights and the metadata of an adapter of rank 3 with a scaling of 2."""
    folder = tmp_path_factory.mktemp('lora')
    save_lora(make_unet(r=3, lora_alpha=6), folder)
    with safe_open(folder / FILE_NAMES[0], framework='pt') as file:
        metadata = json.loads(file.metadata()[METADATA])
    return load_file(folder / FILE_NAMES[0]), metadata


def write(folder, weights, metadata):
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    save_file(weights, folder / FILE_NAMES[0], metadata={METADATA: text})
    return folder / FILE_NAMES[0]


@pytest.mark.parametrize(
    ('field', 'value', 'words'),
    [
        ('lora_alpha', math.nan, 'nan'),
        ('lora_alpha', math.inf, 'inf'),
        ('lora_alpha', 1e30, r'1e\+30.*3000'),
        ('lora_alpha', -3001, '-3001.*3000'),
        ('lora_alpha', 0, 'lora_alpha.*0'),
        ('lora_alpha', '6', "'6'"),
        ('lora_alpha', 10**1000, '3322 bits'),
        ('r', 10**9, '1000000000.*attn.*3'),
        ('r', True, r'\br\b.*True'),
        ('rank_pattern', {'attn1.to_q': 7}, '7.*attn1.to_q.*3'),
        ('rank_pattern', {ENDLESS: 3}, r'rank_pattern'),
        ('alpha_pattern', {ENDLESS: 3}, r'alpha_pattern'),
        ('alpha_pattern', {'attn1.to_q': 1e30}, r'attn1.to_q.*1e\+30'),
        ('alpha_pattern', {'attn1.to_q': [3]}, r'attn1.to_q.*1'),
        ('alpha_pattern', [3], r'alpha_pattern.*\[3\]'),
        ('lora_dropout', 1, 'lora_dropout.*1'),
        ('use_rslora', 1, 'use_rslora.*1'),
        ('use_dora', True, 'use_dora'),
        ('modules_to_save', ['conv_in'], 'modules_to_save'),
    ],
)
def test_bad_settings(unet, ours, tmp_path, field, value, words):
    weights, metadata = ours
    path = write(tmp_path, weights, metadata | {f'unet.{field}': value})
    with pytest.raises(ValueError, match=words) as error:
        read_lora(path, unet)
    assert str(path) in str(error.value) and len(str(error.value)) < 600


@pytest.mark.parametrize(
    ('text', 'words'),
    [
        ('{"unet.r": 3', 'JSON'),
        ('[' * 100_000, 'JSON'),
        ('{"unet.r": ' + '9' * 10_000 + '}', 'JSON'),
        ('[3]', 'list'),
        (' ' * 2**21, '2097152'),
    ],
)
def test_bad_metadata(unet, ours, tmp_path, text, words):
    path = write(tmp_path, ours[0], text)
    with pytest.raises(ValueError, match=words) as error:
        read_lora(path, unet)
    assert str(path) in str(error.value) and len(str(error.value)) < 600


def test_only_what_is_needed_passes(unet, ours, tmp_path):
    """Everything else is as if it were not there, expressions that never end included."""
    weights, metadata = ours
    foreign = dict(
        target_modules=ENDLESS,
        exclude_modules=ENDLESS,
        layers_to_transform=[0],
        layers_pattern=ENDLESS,
        init_lora_weights='gaussian',
        auto_mapping=dict(base_model_class='os.system', parent_library='os'),
        megatron_config=dict(a=1),
        megatron_core='os',
        runtime_config=dict(ephemeral_gpu_offload=True),
        loftq_config=dict(a=1),
        base_model_name_or_path='somebody/something',
        unheard_of=1,
    )
    arguments, read = read_lora(write(tmp_path, weights, metadata | foreign), unet)
    assert set(arguments.pop('target_modules')) == {name.partition('.lora_')[0] for name in read}
    assert arguments == dict(
        r=3,
        lora_alpha=6,
        rank_pattern={},
        alpha_pattern={},
        use_rslora=False,
        lora_dropout=0.0,
        init_lora_weights=False,
    )
    assert all(torch.equal(read[name.removeprefix('unet.')], weight) for name, weight in weights.items())


def test_first_entry_of_a_pattern_counts(unet, ours, tmp_path):
    """As in PEFT, whose expressions for names with escaped dots and a caret are names as well."""
    weights, metadata = ours
    pattern = {'to_q': 9, 'attn1.to_q': 12, r'^' + LAYER.replace('to_q', 'to_k').replace('.', r'\.'): 15}
    arguments, _ = read_lora(write(tmp_path, weights, metadata | {'unet.alpha_pattern': pattern}), unet)
    values = {value: names for names, value in arguments['alpha_pattern'].items()}
    assert set(values) == {9, 15} and values[15].replace('\\', '') == LAYER.replace('to_q', 'to_k')


@pytest.mark.parametrize('value', [math.nan, -math.inf, 1e30])
def test_weights_that_are_not_finite(unet, ours, tmp_path, value):
    weights, metadata = ours
    name = f'unet.{LAYER}.lora_B.weight'
    changed = weights[name].clone()
    changed[1, 2] = value
    with pytest.raises(ValueError, match=f'{LAYER}.lora_B.weight'):
        read_lora(write(tmp_path, weights | {name: changed}, metadata), unet)


@pytest.mark.parametrize('kind', [torch.int8, torch.bool])
def test_weights_that_are_no_floats(unet, ours, tmp_path, kind):
    weights, metadata = ours
    name = f'unet.{LAYER}.lora_B.weight'
    with pytest.raises(ValueError, match=f'{LAYER}.lora_B.weight.*{kind}') as error:
        read_lora(write(tmp_path, weights | {name: weights[name].to(kind)}, metadata), unet)
    assert str(tmp_path) in str(error.value)


def test_names_of_strangers(unet, ours, tmp_path):
    """Layers that cannot be adapted, one weight under two names, and names without end."""
    weights, metadata = ours
    name = f'{LAYER}.lora_B.weight'
    for foreign, words in (
        ({'unet.conv_norm_out.lora_A.weight': torch.zeros(3)}, 'conv_norm_out'),
        ({'unet.' + 'x' * 10_000: torch.zeros(3)}, r'xxx\.\.\.'),
        ({name: weights[f'unet.{name}'].clone()}, 'two names'),
        ({f'unet.{LAYER}.base_layer.lora_A.weight': torch.zeros(3, 3)}, 'base_layer'),
    ):
        with pytest.raises(ValueError, match=words) as error:
            read_lora(write(tmp_path, weights | foreign, metadata), unet)
        assert len(str(error.value)) < 1000
    with pytest.raises(ValueError, match=r'(?s)pytorch_lora_weights\.bin.*\b5\b'):
        torch.save({5: torch.zeros(3)}, tmp_path / FILE_NAMES[1])
        read_lora(tmp_path / FILE_NAMES[1], unet)
    with pytest.raises(ValueError, match='empty'):
        torch.save(dict(state_dict=[1]), tmp_path / FILE_NAMES[1])
        read_lora(tmp_path / FILE_NAMES[1], unet)


def test_claimed_size_is_not_allocated(unet, ours, tmp_path):
    """A terabyte is 1 kB in a file, if all of it is one number."""
    weights = dict(ours[0])
    width = weights[f'unet.{LAYER}.lora_A.weight'].shape[1]
    weights[f'unet.{LAYER}.lora_A.weight'] = torch.zeros(1).expand(10**9, width)
    weights[f'unet.{LAYER}.lora_B.weight'] = torch.zeros(1).expand(width, 10**9)
    torch.save(weights, tmp_path / FILE_NAMES[1])
    with pytest.raises(ValueError, match='1000000000'):
        read_lora(tmp_path / FILE_NAMES[1], unet)


@pytest.mark.parametrize('old', [False, True])
def test_stored_alpha(tmp_path, old):
    """A scaling of 5 / 2 for one layer; it is 1 for all others in a file without settings."""
    adapted = make_unet(r=2)
    if old:
        weights = to_old_layout(adapted) | {LAYER.replace('to_q', 'processor.to_q_lora.alpha'): torch.tensor(5.0)}
    else:
        save_lora(adapted, tmp_path)
        weights = load_file(tmp_path / FILE_NAMES[0]) | {f'unet.{LAYER}.alpha': torch.tensor([5.0])}
    adapted.get_submodule(LAYER).scaling['default'] = 2.5
    save_file(weights, tmp_path / FILE_NAMES[0])
    other = make_unet()
    load_lora(other, tmp_path)
    torch.testing.assert_close(output_of(other), output_of(adapted))


@pytest.mark.parametrize(
    ('alpha', 'words'),
    [(torch.tensor(math.nan), '(?i)nan'), (torch.tensor(1e30), r'e\+30'), (torch.zeros(2), 'alpha')],
)
def test_bad_stored_alpha(unet, ours, tmp_path, alpha, words):
    path = write(tmp_path, ours[0] | {f'unet.{LAYER}.alpha': alpha}, {})
    with pytest.raises(ValueError, match=words):
        read_lora(path, unet)


def test_rank_stabilized(tmp_path):
    """Its scaling is 6 / sqrt(4)."""
    adapted, other = make_unet(r=4, lora_alpha=6, use_rslora=True), make_unet()
    save_lora(adapted, tmp_path)
    load_lora(other, tmp_path)
    assert other.get_submodule(LAYER).scaling['default'] == 3
    torch.testing.assert_close(output_of(other), output_of(adapted))
