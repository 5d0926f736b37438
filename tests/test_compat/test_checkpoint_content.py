"""Only settings, numbers and plain, finite weights pass; everything else is an error that names file and entry."""

import warnings
from argparse import Namespace
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import load_checkpoint
from torch import nn

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.checkpoint_content import check_finite, check_plain
from mmdiffperc.finite import is_finite

with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    NOT_PLAIN = {
        'sparse': torch.eye(3).to_sparse(),
        'sparse_csr': torch.eye(3).to_sparse_csr(),
        'qint8': torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
        'meta': torch.ones(3, device='meta'),
        'repeats': torch.ones(1).expand(1000, 1000),
        'TypedStorage': torch.ones(2).untyped_storage(),
    }


def _with_palette(palette):
    return dict(state_dict={}, meta=dict(dataset_meta=dict(classes=['a', 'b'], palette=palette)))


def save(content, folder):
    torch.save(content, folder / 'bad.pth')
    return str(folder / 'bad.pth')


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('fault', NOT_PLAIN)
@pytest.mark.parametrize('mmap', [True, False], ids=['mapped', 'read'])
def test_tensors_that_are_not_plain(tmp_path, fault, mmap):
    path = save(dict(state_dict={'head.weight': NOT_PLAIN[fault]}), tmp_path)
    with pytest.raises(ValueError, match=rf'bad\.pth.*.state_dict\.head\.weight..*{fault}'):
        load_file(path, mmap=mmap)


@pytest.mark.filterwarnings('ignore')
def test_every_way_of_loading_is_checked(tmp_path):
    path = save(dict(state_dict={'weight': torch.eye(3).to_sparse()}), tmp_path)
    CheckpointLoader.register_scheme('test-scheme://', lambda name, map_location: torch.load(path), force=True)
    ways = (CheckpointLoader.load_checkpoint, lambda name: load_checkpoint(nn.Linear(3, 3), name))
    for load in ways:
        for name in (path, 'test-scheme://weights'):
            with pytest.raises(ValueError, match=rf'{name}.*state_dict\.weight.*sparse'):
                load(name)


def test_views_and_shared_weights_are_plain():
    weight = torch.arange(12.0).reshape(3, 4)
    check_plain(dict(a=weight, b=weight.T, c=weight[1:], d=nn.Parameter(weight), e=torch.ones(1, 1).expand(1, 1)), 'a')


def test_nesting_has_a_limit():
    nested = deep = []
    for _ in range(40):
        nested.append([])
        nested = nested[0]
    check_plain(deep, 'a.pth')
    for _ in range(100_000):
        nested.append([])
        nested = nested[0]
    with pytest.raises(ValueError, match=r'a\.pth.*50 deep'):
        check_plain(deep, 'a.pth')
    while deep:  # freed from the outside, because the interpreter's stack would not do
        deep = deep.pop()


def test_what_is_named_often_is_looked_at_once():
    twice = [1]
    for _ in range(40):
        twice = [twice, twice]
    check_plain(twice, 'a.pth')


@pytest.mark.parametrize('value', [object(), len, np, np.array([object()]), np.array([1], 'M8[s]')], ids=range(5))
def test_objects_are_refused_by_name(value):
    with pytest.raises(ValueError, match=r'a\.pth.*.args\.first\.0..*(object|array)'):
        check_plain(dict(args=Namespace(first=[value])), 'a.pth')


class Settings:
    pass


def test_a_type_that_the_user_allows_is_loaded(tmp_path):
    path = save(dict(state_dict={}, own=Settings()), tmp_path)
    with torch.serialization.safe_globals([Settings]):
        assert type(load_file(path)['own']) is Settings


@pytest.mark.parametrize(
    ('content', 'named'),
    [
        (7, r'\b7\b'),
        ([torch.ones(2)], 'dict'),
        (dict(state_dict=7), 'state_dict'),
        (dict(state_dict={5: torch.ones(2)}), r'\b5\b'),
        ({5: torch.ones(2)}, r'\b5\b'),
        (dict(state_dict={'weight': 'text'}), 'weight.*text'),
        (dict(state_dict={}, meta='text'), 'meta.*text'),
        (dict(state_dict={}, meta=dict(dataset_meta='text')), r'meta\.dataset_meta.*text'),
        (dict(state_dict={}, meta=dict(dataset_meta=dict(classes=3))), r'classes.*3'),
        (dict(state_dict={}, meta=dict(dataset_meta=dict(classes='sky'))), r'classes.*sky'),
        (_with_palette([[1, 2, 3]]), r'2 classes.*\b1\b'),
        (_with_palette([[1, 2, 3], [1, 2]]), 'palette'),
        (_with_palette([[1, 2, 3], [1, 2, 256]]), 'palette.*256'),
        (_with_palette(['red', 'blue']), 'palette.*red'),
        (_with_palette(5), 'palette.*5'),
        (dict(state_dict={}, message_hub=3), 'message_hub.*3'),
        (dict(state_dict={}, message_hub=dict(runtime_info=3)), r'message_hub\.runtime_info.*3'),
        (dict(state_dict={'weight': torch.ones(2, dtype=torch.complex64)}), 'weight.*complex'),
        (dict(state_dict={'a': torch.ones(2), 'b.c': torch.tensor([1, torch.nan, torch.inf])}), r'\b2\b.*\b3\b.*b.c'),
        ({'b.c': torch.tensor([torch.nan]).half()}, r'\b1\b.*\b1\b.*b.c'),
        (dict(model={'b.c': torch.tensor([torch.nan])}, args='text'), r'\b1\b.*\b1\b.*b.c'),
        (dict(state_dict={}, ema_state_dict={'b.c': torch.tensor([-torch.inf, 1])}), r'\b1\b.*\b2\b.*b.c'),
    ],
)
def test_what_is_no_checkpoint(tmp_path, content, named):
    with pytest.raises(ValueError, match=rf'bad\.pth.*{named}'):
        CheckpointLoader.load_checkpoint(save(content, tmp_path))


def test_large_weights_are_finite():
    """Their sum is not."""
    large = torch.full((4,), 3e38)
    assert is_finite(large) and is_finite(torch.full((70_000,), 1.0).half()) and is_finite(torch.full((4,), 6e4).half())
    assert not is_finite(torch.tensor([torch.inf, -torch.inf])) and is_finite(torch.ones(3).to(torch.float8_e4m3fn))
    assert is_finite(torch.ones(2, device='meta')) and is_finite(torch.tensor([True]))


def test_a_mask_of_attention_is_no_diverged_weight():
    mask = torch.full((3, 3), -torch.inf).triu(1)
    check_finite(dict(mask=mask), 'a.pth')
    with pytest.raises(ValueError, match='mask'):
        check_finite(dict(mask=mask + torch.eye(3)), 'a.pth')


def test_bare_weights(tmp_path):
    """As other libraries save them: mmseg looks for a ``meta`` that is not there, others ask first."""
    weights = nn.Linear(3, 2).state_dict()
    loaded = CheckpointLoader.load_checkpoint(save(weights, tmp_path))
    assert list(loaded) == ['weight', 'bias'] and 'meta' not in loaded and loaded['meta'].get('dataset_meta') is None
    assert loaded._metadata == loaded.copy()._metadata == weights._metadata and loaded.copy()['meta'] == {}
    with pytest.raises(KeyError, match=r"bad\.pth.*'epoch'.*load_from"):
        loaded['meta']['epoch']
    with pytest.raises(KeyError, match='other'):
        loaded['other']
    torch.save(loaded, tmp_path / 'again.pth')
    assert type(torch.load(tmp_path / 'again.pth')) is OrderedDict


def test_a_table_of_embeddings(tmp_path):
    table = torch.randn(3, 4)
    assert torch.equal(CheckpointLoader.load_checkpoint(save(table, tmp_path)), table)
    with pytest.raises(ValueError, match=r'bad\.pth'):
        CheckpointLoader.load_checkpoint(save(table * torch.nan, tmp_path))


@pytest.mark.parametrize('palette', [None, 'random', [[1, 2, 3], (4, 5, 6)], [[0, 0, 0]] * 3, np.zeros((2, 3), int)])
def test_palettes_of_the_hosts(tmp_path, palette):
    content = _with_palette(palette)
    loaded = CheckpointLoader.load_checkpoint(save(content, tmp_path))['meta']['dataset_meta']
    np.testing.assert_equal(loaded['palette'], palette)
