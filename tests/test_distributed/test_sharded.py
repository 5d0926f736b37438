"""VPD under mmengine's FlexibleRunner, sharded by FSDP.

``test_data_parallel`` tells that it trains as one process does, and goes on when it is resumed.
"""

from host_scripts import run
from mmengine.config import Config
from mmengine.runner import FlexibleRunner

from mmdiffperc.compat.fsdp_strategy import ResumableFSDPStrategy

from .tiny_configs import FSDP, sharded


def test_the_script_of_mim_starts_the_flexible_runner(configs, tmp_path, monkeypatch):
    """That of one process; the strategy, which is what differs, gets the config's arguments."""
    started = []
    monkeypatch.setattr(FlexibleRunner, 'train', lambda runner: started.append(runner))
    config = sharded(configs['vpd'], tmp_path / 'sharded.py')
    run('mmseg', 'train.py', config, '--work-dir', tmp_path / 'work')
    (runner,) = started
    assert isinstance(runner.strategy, ResumableFSDPStrategy)
    assert runner.strategy.model_wrapper == Config.fromfile(FSDP).strategy.model_wrapper
