import pytest

from mmdiffperc.datasets.toy_scenes.writers import DatasetSpec, write_dataset


@pytest.fixture(scope='session')
def toy_spec():
    """A small data set of images that are not square."""
    return DatasetSpec(num_train=5, num_val=8, size=(48, 64), seed=7, domain='b')


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory, toy_spec):
    """Where `toy_spec` has been written."""
    root = tmp_path_factory.mktemp('toy') / 'scenes'
    write_dataset(root, toy_spec)
    return root
