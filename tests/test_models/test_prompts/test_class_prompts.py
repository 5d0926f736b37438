import re
import sys

import pytest
import torch
from logs import heard
from mmengine.dataset import BaseDataset
from mmengine.registry import DATASETS, init_default_scope

from mmdiffperc.models import ClassPrompts, ScenePrompts
from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.models.prompts.class_prompts import imagenet_templates, names_dataset, resolve_classes


def text_side(arch, max_length=20):
    """An encoder with random weights."""
    torch.manual_seed(5)
    encoder = SentenceEncoder(arch, max_length)
    encoder.note_weights()
    return encoder


def test_embeddings_are_the_mean_pooled_text_features(arch):
    encoder = text_side(arch)
    tokenizer, text_encoder = encoder.tokenizers['text_encoder'], encoder.clip
    prompts = ClassPrompts(['traffic_light', 'sky'], embed_dims=12)
    prompts.encode(encoder)
    assert len(prompts.templates) == 80
    end = tokenizer.eos_token_id
    for row, name in zip(prompts.embeddings, ['traffic light', 'sky'], strict=True):
        features = []
        for template in imagenet_templates():
            tokens = tokenizer(template.format(name)).input_ids  # no padding: causal attention never sees it
            states = text_encoder(torch.tensor([tokens])).last_hidden_state
            features.append(states[0, tokens.index(end)])
        torch.testing.assert_close(row, torch.stack(features).mean(0), rtol=1e-4, atol=1e-5)


def test_templates_and_length(arch):
    encoder = text_side(arch, max_length=5)
    prompts = ClassPrompts(['a very long name of a class'], embed_dims=12, templates=['the {}'], max_length=5)
    prompts.encode(encoder)
    tokenizer = encoder.tokenizers['text_encoder']
    tokens = tokenizer('the a very long name of a class').input_ids[:4] + [tokenizer.eos_token_id]
    expected = encoder.clip(torch.tensor([tokens])).pooler_output[0]
    torch.testing.assert_close(prompts.embeddings[0], expected)


def test_imagenet_templates():
    templates = imagenet_templates()
    assert len(set(templates)) == 80
    assert all(template.count('{}') == 1 for template in templates)
    assert {'a photo of a {}.', 'itap of a {}.', 'a tattoo of the {}.'} < set(templates)


@pytest.mark.parametrize('kind', [ClassPrompts, ScenePrompts])
def test_templates_by_name(kind):
    assert kind(['sky'], embed_dims=8).templates == tuple(imagenet_templates())
    assert kind(['sky'], embed_dims=8, templates='imagenet').templates == tuple(imagenet_templates())
    assert kind(['sky'], embed_dims=8, templates='photo').templates == ('a photo of a {}',)


def test_a_mean_over_many_sentences_is_shorter_than_one_sentence():
    one, mean = (ClassPrompts(['cone', 'sphere'], 96, templates=name) for name in ('photo', 'imagenet'))
    for prompts in (one, mean):
        prompts.init_embeddings('tiny-sd', 'tiny-sd')
    assert (mean.embeddings.norm(dim=1) < one.embeddings.norm(dim=1)).all()


def test_classes_of_a_list():
    assert resolve_classes(['sky', 'a tree']) == ('sky', 'a tree')


def test_classes_of_an_alias_of_mmseg():
    classes = resolve_classes('ade')
    assert len(classes) == 150 and classes[:3] == ('wall', 'building', 'sky')


def test_classes_of_a_registered_dataset():
    import mmseg.datasets  # noqa: F401

    init_default_scope('mmseg')
    assert resolve_classes('ADE20KDataset') == resolve_classes('ade')
    assert resolve_classes('CityscapesDataset')[-1] == 'bicycle'


@pytest.fixture
def registered(monkeypatch):
    """Register a data set for the time of a test."""

    def register(**attributes):
        monkeypatch.setitem(DATASETS._module_dict, 'OwnDataset', type('OwnDataset', (BaseDataset,), attributes))

    with DATASETS.switch_scope_and_registry(None):
        yield register


@pytest.mark.parametrize('attributes', [{}, dict(METAINFO={}), dict(METAINFO=dict(classes=()))])
def test_a_dataset_without_class_names(registered, attributes):
    registered(**attributes)
    with pytest.raises(ValueError, match='OwnDataset'):
        resolve_classes('OwnDataset')


def test_a_dataset_whose_class_names_are_one_string(registered):
    registered(METAINFO=dict(classes='tram'))
    with pytest.raises(ValueError, match=r"OwnDataset.*\('tram',\)"):
        resolve_classes('OwnDataset')


@pytest.mark.parametrize('mmseg_is_installed', [True, False])
def test_one_class_without_its_comma(monkeypatch, mmseg_is_installed):
    if not mmseg_is_installed:
        monkeypatch.setitem(sys.modules, 'mmseg', None)
    with pytest.raises(ValueError, match=r"classes='tram'.*\('tram',\)"):
        ClassPrompts(('tram'), embed_dims=8)


@pytest.mark.parametrize('kind', [ClassPrompts, ScenePrompts])
@pytest.mark.parametrize('name', ['wave', 'calendar', 'code', 'own_module'])
def test_a_class_with_the_name_of_a_module_imports_nothing(monkeypatch, tmp_path, kind, name):
    (tmp_path / f'{name}.py').write_text('raise SystemExit("imported")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ValueError, match=rf"classes='{name}'.*\('{name}',\)"):
        kind((name), embed_dims=8)
    assert name not in sys.modules


@pytest.mark.parametrize(
    ('name', 'scope', 'is_dataset'),
    [
        ('ade', None, True),
        ('CityscapesDataset', 'mmseg', True),
        ('CityscapesDataset', None, False),
        ('ImageTargetDataset', 'mmseg', True),
        ('mmseg.CityscapesDataset', None, True),
        ('tram', 'mmseg', False),
        ('wave', 'mmseg', False),
        ('St. Bernard', 'mmseg', False),
    ],
)
def test_names_of_data_sets(name, scope, is_dataset):
    assert names_dataset(name, scope) is is_dataset


@pytest.mark.parametrize('name', ['道路', 'дорога', 'طريق'])
@pytest.mark.parametrize('kind', [ClassPrompts, ScenePrompts])
def test_a_name_that_the_text_encoder_cannot_read(kind, name):
    with pytest.raises(ValueError, match=rf"classes.*'{name}'.*Latin.*embeddings"):
        kind(['road', name], embed_dims=8)
    assert kind(['road', name], embed_dims=8, embeddings='ready.pth').classes == ('road', name)


def test_a_data_set_whose_names_the_text_encoder_cannot_read(registered):
    registered(METAINFO=dict(classes=('road', '道路')))
    with pytest.raises(ValueError, match="classes.*'道路'"):
        ClassPrompts('OwnDataset', embed_dims=8)


def test_names_that_can_be_read():
    names = ('Straße', 'café 红', '2', 'ice-cream')
    assert ClassPrompts(names, embed_dims=8).classes == names


def test_full_width_letters_are_plain_ones(arch):
    prompts = ClassPrompts(['tram', 'ｔｒａｍ'], embed_dims=12, templates=['a {}'])
    prompts.encode(text_side(arch))
    assert prompts.classes[1] == 'ｔｒａｍ'
    torch.testing.assert_close(prompts.embeddings[1], prompts.embeddings[0])


def test_embeddings_of_a_file(tmp_path):
    embeddings = torch.randn(3, 8)
    torch.save(embeddings, tmp_path / 'class_embeddings.pth')
    prompts = ClassPrompts(['a', 'b', 'c'], embed_dims=8, embeddings=str(tmp_path / 'class_embeddings.pth'))
    prompts.init_embeddings('no arch', 'no checkpoint')
    torch.testing.assert_close(prompts.embeddings, embeddings, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('content', 'found'), [(torch.zeros(4, 8), r'\(4, 8\)'), (torch.zeros(3, 9), r'\(3, 9\)'), ({'a': 1}, 'dict')]
)
def test_a_file_that_does_not_fit_the_classes(tmp_path, content, found):
    torch.save(content, tmp_path / 'other.pth')
    prompts = ClassPrompts(['a', 'b', 'c'], embed_dims=8, embeddings=str(tmp_path / 'other.pth'))
    with pytest.raises(ValueError, match=rf'other\.pth.*\(3, 8\).*3.*classes.*{found}'):
        prompts.init_embeddings('no arch', 'no checkpoint')


def test_forward_repeats_the_adapted_embeddings():
    prompts = ClassPrompts(['a', 'b', 'c'], embed_dims=8, adapter=dict(type='TextAdapter', gamma=0.5))
    embeds = prompts(batch_size=2)
    assert embeds.shape == (2, prompts.num_prompts, 8)
    for sample in embeds:
        torch.testing.assert_close(sample, prompts.adapter(prompts.embeddings))


def test_the_embeddings_are_in_the_checkpoint_but_do_not_train():
    prompts = ClassPrompts(['a', 'b'], embed_dims=4, adapter=dict(type='TextAdapter'))
    assert 'embeddings' in prompts.state_dict()
    assert {name.split('.')[0] for name, _ in prompts.named_parameters()} == {'adapter'}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(classes=[]), 'classes=[]'),
        (dict(classes=[1, 2]), 'classes=[1, 2]'),
        (dict(classes=['road', ' ']), "classes=['road', ' ']"),
        (dict(classes=['road', '']), "classes=['road', '']"),
        (dict(classes=['a\nb']), "classes=['a\\nb']"),
        (dict(classes='nobody'), "classes='nobody'"),
        (dict(adapter='TextAdapter'), "adapter='TextAdapter'"),
        (dict(adapter=dict(gamma=1.0)), "adapter={'gamma': 1.0}"),
        (dict(adapter=dict(type='TextAdapter', gamma='x')), "gamma='x'"),
        (dict(classes=None), 'classes=None'),
        (dict(templates=[]), 'templates=[]'),
        (dict(templates='a photo of a {}'), "templates='a photo of a {}'"),
        (dict(templates=['a {}', 'a photo']), "templates=['a {}', 'a photo']"),
        (dict(templates=['{} and {}']), "templates=['{} and {}']"),
        (dict(max_length=200), 'max_length=200'),
        (dict(max_length=2), 'max_length=2'),
        (dict(max_length='20'), "max_length='20'"),
    ],
)
def test_bad_configuration_does_not_build(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ClassPrompts(**{'classes': ['sky'], 'embed_dims': 8, **options})


def test_braces_in_templates_are_plain_text(arch):
    encoder = text_side(arch)
    prompts = ClassPrompts(['sky'], embed_dims=12, templates=['a {} {x}'])
    prompts.encode(encoder)
    options = dict(max_length=20, padding='max_length', return_tensors='pt')
    tokens = encoder.tokenizers['text_encoder']('a sky {x}', **options).input_ids
    torch.testing.assert_close(prompts.embeddings[0], encoder.clip(tokens).pooler_output[0])


UNFIT = {
    'NaN': torch.tensor([[1.0, torch.nan], [1, 1]]),
    'complex64': torch.ones(2, 2, dtype=torch.complex64),
    'bool': torch.ones(2, 2, dtype=torch.bool),
    'int64': torch.ones(2, 2, dtype=torch.long),
    "'sea' is zero": torch.tensor([[1.0, 0], [0, 0]]),
    'sparse': torch.eye(2).to_sparse(),
    'meta': torch.ones(2, 2, device='meta'),
}


@pytest.mark.parametrize('fault', UNFIT)
def test_a_file_without_finite_real_numbers(tmp_path, fault):
    torch.save(UNFIT[fault], tmp_path / 'unfit.pth')
    prompts = ClassPrompts(['sky', 'sea'], embed_dims=2, embeddings=str(tmp_path / 'unfit.pth'))
    with pytest.raises(ValueError, match=rf'unfit\.pth.*{fault}'):
        prompts.init_embeddings()


def test_a_class_that_stands_there_twice_is_logged(caplog):
    with heard(caplog):
        ClassPrompts(['road', 'tram', 'road'], embed_dims=8)
    assert "'road'" in caplog.text


# SDXL: prompts 32 wide, and pooled embeddings 14 wide


def of_sdxl(**options):
    return ClassPrompts(['traffic_light', 'sky'], 32, templates=['the {}', 'a {}.'], pooled_dims=14, **options)


@pytest.mark.parametrize('pooled', ['mean', 'empty'])
def test_embeddings_of_sdxl(archs, pooled):
    encoder, prompts = text_side(archs['sdxl']), of_sdxl(pooled=pooled)
    prompts.encode(encoder)
    light, sky = (encoder.encode([f'the {name}', f'a {name}.']) for name in ('traffic light', 'sky'))
    torch.testing.assert_close(prompts.embeddings, torch.stack([light.summary.mean(0), sky.summary.mean(0)]))
    expected = torch.cat([light.pooled, sky.pooled]).mean(0) if pooled == 'mean' else encoder.encode(['']).pooled[0]
    torch.testing.assert_close(prompts.embed_pooled(3), expected.expand(3, 14))


def test_other_architectures_have_no_pooled_embeddings():
    prompts = ClassPrompts(['sky'], embed_dims=12)
    assert prompts.embed_pooled(2) is None and list(prompts.state_dict()) == ['embeddings']


@pytest.mark.parametrize(('pooled', 'rows'), [('mean', 2), ('empty', 1)])
def test_embeddings_of_a_file_for_sdxl(tmp_path, pooled, rows):
    file = tmp_path / 'both.pth'
    content = dict(embeddings=torch.randn(2, 32), pooled=torch.randn(rows, 14))
    torch.save(content, file)
    prompts = of_sdxl(pooled=pooled, embeddings=str(file))
    prompts.init_embeddings()
    assert torch.equal(prompts.embeddings, content['embeddings'])
    torch.testing.assert_close(prompts.embed_pooled(2)[1], content['pooled'].mean(0))


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (torch.ones(2, 32), r'\(2, 32\).*pooled \(2, 14\).*Tensor'),
        (dict(embeddings=torch.ones(2, 32)), r"pooled \(2, 14\).*list of 1.*'embeddings'"),
        (dict(embeddings=torch.ones(2, 32), pooled=torch.ones(3, 14)), r'\(2, 14\).*\(3, 14\)'),
    ],
)
def test_a_file_without_pooled_embeddings(tmp_path, content, words):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=rf'other\.pth.*{words}'):
        of_sdxl(embeddings=str(tmp_path / 'other.pth')).init_embeddings()
