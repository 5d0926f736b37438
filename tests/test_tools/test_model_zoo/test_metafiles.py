"""The metafiles list every config; what they say about it is true; mim reads them."""

import ast
import functools
import re
import sys
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from command_lines import parse
from mim.commands.search import convert2df, filter_by_conditions
from model_zoo.metafiles import HUB, MINIATURE, Model, read_models
from modelindex.load_model_index import load
from pages import ROOT, links

from mmdiffperc.weights.official_checkpoints import LAYOUTS

FOLDERS = ('configs', 'projects/*/configs')
FILES = [file.relative_to(ROOT) for folder in FOLDERS for file in ROOT.glob(f'{folder}/**/*.py')]
CONFIGS = {str(file) for file in FILES if '_base_' not in file.parts}


@pytest.fixture(scope='module')
def models():
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return read_models()


def test_every_config_has_one_entry_with_its_name(models):
    assert len(CONFIGS) > 80
    assert Counter(model['Config'] for model in models.values()) == Counter(CONFIGS)
    assert [name for name, model in models.items() if Path(model['Config']).stem != name] == []


def test_the_page_of_a_folder_links_its_configs(models):
    """Those of the folder itself, or of the project."""
    linked = functools.cache(links)
    for model in models.values():
        config = ROOT / model['Config']
        page = next(folder / 'README.md' for folder in config.parents if (folder / 'README.md').exists())
        assert str(config.relative_to(page.parent)) in linked(page), f'{page} does not link {config.name}'


def test_a_config_has_a_checkpoint_or_a_reason(models):
    """A miniature needs neither; results are those of a checkpoint, and name their source."""
    for name, model in models.items():
        is_miniature, has_reason = MINIATURE in name, 'No Weights' in model.maps[0]
        assert bool(model.address) + has_reason + is_miniature == 1, name
        assert not {'Weights', 'Weights Page'} <= model.keys(), name
        if model.address:
            assert bool(model.results) != bool(model.get('No Results')), name
            assert model.commands(), name
        else:
            assert not model.results, name
        assert bool(model.results) == bool(model.sources), name


def test_batch_size_and_schedule_are_those_of_the_name(models):
    """``8xb2-80k``: 16 images and 80,000 iterations. ``1x`` is mmdetection's name of 12 epochs."""
    for name, model in models.items():
        found = re.search(r'(\d+)xb(\d+)-(\d+)([kex]?)_', name)
        numbers = {key: int(model.metadata(key) or 0) for key in ('Batch Size', 'Iterations', 'Epochs')}
        devices, images, length, unit = found.groups() if found else (0, 0, 0, '')
        iterations = {'k': 1000, '': 1}.get(unit, 0) * int(length)
        epochs = {'e': 1, 'x': 12}.get(unit, 0) * int(length)
        expected = {'Batch Size': int(devices) * int(images), 'Iterations': iterations, 'Epochs': epochs}
        assert numbers == expected, name


def test_every_layout_of_the_converter_has_an_official_checkpoint(models):
    converted = {model['Config'] for model in models.values() if 'convert_checkpoint' in ''.join(model.commands())}
    assert {f'configs/{layout.config}' for layout in LAYOUTS} <= converted


def test_the_hub_ids_are_those_of_the_configs(models):
    """A config of a published model is a line of settings, which a syntax tree shows without reading its bases."""
    addresses = {model.name: model.address or '' for model in models.values()}
    published = [
        model
        for model in models.values()
        if addresses[model.name].startswith(HUB) and not re.search('/(resolve|tree|spaces)/', addresses[model.name])
    ]
    assert {model['Config'] for model in published} == {name for name in CONFIGS if '/published/' in name}
    for model in published:
        tree = ast.parse((ROOT / model['Config']).read_text())
        values = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert model.address.removeprefix(HUB) in values, model.name


def test_the_programs_accept_the_commands(models, monkeypatch, tmp_path):
    """One model for each form of command. ``hf`` is not ours: test_readme.py looks at its options."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'argv', ['pytest'])
    monkeypatch.setenv('LOCAL_RANK', '0')
    forms = {}
    for model in models.values():
        templates = [*model.get('Convert', []), *model.get('Test', [])] if model.address else []
        forms |= dict(zip(templates, model.commands(), strict=False))
    assert len(forms) > 10
    for command in forms.values():
        if not command.startswith('hf '):
            parse(command)


def test_fields_of_the_collection_and_of_the_model():
    collection = {'Name': 'A', 'Convert': ['convert {config}'], 'Test': ['test {name}.pth'], 'No Results': 'old'}
    entry = {'Name': 'b', 'Config': 'configs/b.py', 'Test': ['test {hub}'], 'Weights Page': f'{HUB}me/b'}
    model = Model(entry | {'Metadata': {'Training Data': ['x', 'y']}, 'Source': 'https://github.com/a/b'}, collection)
    assert model.commands() == ['convert configs/b.py', 'test me/b'] and model.address == 'https://huggingface.co/me/b'
    assert model.metadata('Training Data') == 'x, y' and model.metadata('Epochs') == ''
    assert model.sources == ['https://github.com/a/b'] and model['No Results'] == 'old'
    assert model.results == {} and model.metric('mIoU') == ''


def test_metrics_keep_their_digits(models):
    kitti = models['metaprompts_sd1-5_8xb3-25e_kitti-352x352']
    assert kitti.metric('d3') == kitti.metric('d3', 'KITTI') == '1.000' and kitti.metric('d3', 'NYU') == ''


@pytest.fixture(scope='module')
def index():
    return load(str(ROOT / 'model-index.yml'))


def test_mim_reads_the_index(index, models):
    """Like all of OpenMMLab's, it has README files relative to the root, which the library does not expect."""
    assert [fault for fault in index.check(silent=True) if 'README' not in fault] == []
    assert all((ROOT / collection.readme).exists() for collection in index.collections)
    frame = convert2df(index)
    assert list(frame.index) == list(models)
    found = frame.loc['metaprompts_sd1-5-upernet_8xb1-80k_ade20k-512x512']
    assert (found['model'], found['training_data'], found['ade20k/miou(ms+flip)']) == ('metaprompts', 'ade20k', 56.81)
    pose = filter_by_conditions(frame, 'epochs>200')
    assert {name.split('_')[0] for name in pose.index} == {'td-hm'} and set(pose['batch_size']) == {512}
    assert not {'convert', 'test', 'source', 'weights_page', 'no_weights', 'no_results'} & set(frame.columns)


def test_mim_saves_the_weights_of_each_model_under_another_name(index):
    """Under the last part of the address. Two services show a page to whoever does not ask for the file."""
    addresses = [model.weights for model in index.models if model.weights]
    shares = [urlsplit(address) for address in addresses if re.search(r'tsinghua|dropbox', address)]
    assert len(shares) == 9 and all('dl=1' in share.query.split('&') for share in shares)
    assert all('rlkey=' in share.query for share in shares if 'dropbox' in share.netloc)
    names = [address.split('/')[-1] for address in addresses]
    assert len(names) == len(set(names)) == 12 and all(re.fullmatch(r'[\w+-]+\.(pth|ckpt|pt)', name) for name in names)
