import pytest
from tiny_arch import write_arch


@pytest.fixture(scope='session')
def arch(tmp_path_factory):
    """The folder of a tiny architecture, whose levels have 8, 16, 24 and 40 channels."""
    return write_arch(tmp_path_factory.mktemp('arch') / 'arch')
