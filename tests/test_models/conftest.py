import pytest
from tiny_arch import ARCHS, write_arch


@pytest.fixture(scope='session')
def archs(tmp_path_factory):
    """Folders of tiny architectures by name, see `tiny_arch`."""
    return {name: write_arch(tmp_path_factory.mktemp('arch') / 'arch', name) for name in ARCHS}


@pytest.fixture(scope='session')
def arch(archs):
    """The folder of the tiny architecture for tests that are not about architectures."""
    return archs['sd1']
