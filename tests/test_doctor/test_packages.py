from importlib.metadata import version

import pytest
from environments import installed, write_distribution

from mmdiffperc.doctor.packages import find_installed, normalised


@pytest.mark.parametrize('name', ['mmcv_lite', 'MMCV.Lite', 'mmcv-_lite'])
def test_names_are_normalised(name):
    assert normalised(name) == 'mmcv-lite'


def test_this_environment():
    found = find_installed()
    assert found.provided('mmseg') == f'mmsegmentation {version("mmsegmentation")}'
    assert found.provided('nothing') == ''
    assert any(requirement.startswith('torch') for requirement in found.requirements['mmdiffperc'])


def test_of_two_installations_the_first_is_imported(tmp_path, monkeypatch):
    """For instance one in the user's site folder, and one in the environment."""
    write_distribution(tmp_path, 'mmdet', '2.28.2')
    monkeypatch.syspath_prepend(tmp_path)
    assert find_installed().versions['mmdet'] == '2.28.2'


def test_unmet_requirements():
    needs = [
        'Torch_Vision>=0.30',
        'numpy<2; python_version < "3"',
        'lmdb==1; extra == "dmp"',
        'sphinx<1; extra == "docs"',
    ]
    versions = installed(
        requirements={'package': needs}, torch_vision='0.29.2', numpy='2.4', lmdb='3.0.0', sphinx='9.0'
    )
    assert versions.unmet('package') == [('Torch_Vision>=0.30', 'Torch_Vision 0.29.2'), ('lmdb==1', 'lmdb 3.0.0')]
    assert versions.unmet('another') == []


def test_the_limits_of_an_extra_count_where_its_host_is_installed():
    needs = ['numpy>=1.26', 'numpy<2.4; extra == "pose"', 'numpy<2.4; extra == "all"']
    without_mmpose = installed(requirements={'mmdiffperc': needs}, numpy='2.5.5', mmsegmentation='1.2.2')
    with_mmpose = installed(requirements={'mmdiffperc': needs}, numpy='2.5.5', mmpose='1.3.2')
    assert without_mmpose.unmet('mmdiffperc') == []
    assert with_mmpose.unmet('mmdiffperc') == [('numpy<2.4', 'numpy 2.5.5')]


def test_versions_before_a_release_count():
    versions = installed(requirements={'package': ['torch>=2.6']}, torch='2.16.0.dev20261101+cu132')
    assert versions.unmet('package') == []


def test_what_is_not_written_as_the_standard_says_is_left_out():
    needs = ['pytz>dev', 'torch>=2.6; system == "linux"', 'lmdb<3']
    versions = installed(requirements={'package': needs}, pytz='2026.6', torch='2.5', lmdb='3.0.0')
    assert versions.unmet('package') == [('lmdb<3', 'lmdb 3.0.0')]
