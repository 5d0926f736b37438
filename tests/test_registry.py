"""Core classes are found from any host, by bare name or with the package's scope."""

import pytest
from mmengine.dataset import BaseDataset
from mmengine.model import PretrainedInit
from mmengine.registry import DefaultScope, Registry, root

import mmdiffperc.pose
import mmdiffperc.seg  # noqa: F401
from mmdiffperc import registry


@pytest.mark.parametrize('name', registry.__all__)
def test_every_root_has_an_empty_node(name):
    root = getattr(registry, name)
    assert root.parent is None
    node = root.children['mmdiffperc']
    assert not node.module_dict and node.scope == 'mmdiffperc'


@pytest.mark.parametrize('host', ['mmengine', 'mmseg', 'mmdet', 'mmpose'])
def test_class_is_found_under_every_scope(host):
    models = pytest.importorskip(f'{host}.registry').MODELS

    @registry.MODELS.register_module()
    class FoundEverywhere:
        pass

    try:
        with DefaultScope.overwrite_default_scope(host):
            for name in ('FoundEverywhere', 'mmdiffperc.FoundEverywhere'):
                assert type(models.build(dict(type=name))) is FoundEverywhere
    finally:
        registry.MODELS.module_dict.pop('FoundEverywhere')


def test_a_data_set_by_its_path():
    assert registry.find_dataset('mmengine.dataset.BaseDataset') is BaseDataset
    assert registry.find_dataset('mmengine.dataset.Nobody') is None


def test_a_path_whose_module_is_damaged(monkeypatch, tmp_path):
    package = tmp_path / 'own_package'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'data.py').write_text('1 / 0')
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match='own_package.data.OwnDataset.*zero'):
        registry.find_dataset('own_package.data.OwnDataset')


@pytest.mark.parametrize('name', ['wave', 'a.wave', '.wave', 'St. Bernard', ''])
def test_no_data_set_of_that_name(name):
    assert registry.find_dataset(name) is None


def registries():
    """Every registry of mmengine and of the hosts."""
    pending = [one for one in vars(root).values() if isinstance(one, Registry)]
    while pending:
        pending.extend(pending[0].children.values())
        yield pending.pop(0)


def test_nothing_of_a_host_is_replaced():
    """Besides what ``compat`` mends, a name of ours is the name of our class, and no host has one like it."""
    found = {}
    for one in registries():
        for name, built in one.module_dict.items():
            found.setdefault((one.name, name), set()).add(built)
    ours = {
        (name, built)
        for (_, name), classes in found.items()
        for built in classes
        if built.__module__.startswith('mmdiffperc.') and not built.__module__.startswith('mmdiffperc.compat')
    }
    assert len(ours) > 50
    assert all(name == built.__name__ for name, built in ours)
    assert not [key for key, classes in found.items() if len(classes) > 1 and {(key[1], one) for one in classes} & ours]


@pytest.mark.parametrize(
    ('kind', 'expected'),
    [
        ('Pretrained', True),
        (PretrainedInit, True),  # in a new-style config
        ('mmengine.model.PretrainedInit', True),  # in the copy of one that a training writes
        ('Kaiming', False),
        (None, False),
    ],
)
def test_names_of_pretrained_weights(kind, expected):
    assert registry.is_pretrained(dict(type=kind)) is expected
