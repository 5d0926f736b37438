from importlib import import_module, reload

import mmcv
import mmdet
import mmseg
import pytest
from environments import write_distribution
from mmengine.config import Config, config

from mmdiffperc.compat.host_imports import host_imports

LITE = "pip uninstall -y mmcv mmcv-lite && pip install 'mmcv-lite<2.2'"


@pytest.mark.parametrize('host', [mmseg, mmdet])
@pytest.mark.parametrize(('distribution', 'version'), [('mmcv', '1.7.2'), ('mmcv', '2.2.0'), ('mmcv-lite', '2.2.0')])
def test_mmcv_of_another_age(host, distribution, version, tmp_path, monkeypatch):
    write_distribution(tmp_path, distribution, version)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(mmcv, '__version__', version)
    with (
        pytest.raises(OSError, match=rf'^{distribution} {version} .*{distribution}<2\.2\.0,>=2\.0\.0') as caught,
        host_imports(),
    ):
        reload(host)
    assert str(caught.value).endswith(LITE) and isinstance(caught.value.__cause__, AssertionError)


@pytest.mark.parametrize(
    ('distribution', 'version', 'command'),
    [
        ('mmdet', '2.28.2', "pip install 'mmdet>=3.3.0'"),
        ('mmpose', '0.29.0', 'pip install --no-deps mmpose==1.3.2'),
        ('mmsegmentation', '0.30.0', "pip install 'mmsegmentation>=1.2.2'"),
    ],
)
def test_hosts_of_different_ages(distribution, version, command, tmp_path, monkeypatch):
    """An old host does not find what mmcv 2 has moved."""
    write_distribution(tmp_path, distribution, version)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OSError, match=f'^{distribution} {version}') as caught, host_imports():
        import_module('mmcv.runner')
    assert str(caught.value).endswith(command)


@pytest.mark.parametrize(('needed', 'extra'), [('mmcv', 'seg'), ('mmdet', 'det')])
def test_half_of_openmmlab(needed, extra):
    with pytest.raises(ModuleNotFoundError, match=f"'{needed}'.*mmdiffperc.{extra}") as caught, host_imports():
        raise ModuleNotFoundError(f'No module named {needed!r}', name=needed)
    assert caught.value.name == needed


def test_a_base_in_a_missing_package(tmp_path, monkeypatch):
    monkeypatch.setattr(config, 'is_installed', lambda package: False)
    (tmp_path / 'mine.py').write_text("_base_ = 'mmdet::_base_/default_runtime.py'")
    with pytest.raises(ModuleNotFoundError, match='mmdet.*mmdiffperc.det'), host_imports():
        Config.fromfile(tmp_path / 'mine.py')


def test_other_errors_stay_as_they_are():
    with pytest.raises(ModuleNotFoundError, match="^No module named 'nothing'$"), host_imports():
        import_module('nothing')
    with pytest.raises(SyntaxError), host_imports():
        compile('(', 'host.py', 'exec')
