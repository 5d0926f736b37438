import pytest
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import STRATEGIES
from torch import distributed, nn

CPU = torch.device('cpu')


@pytest.fixture
def one_process(tmp_path, monkeypatch):
    """A process group of this process only."""
    monkeypatch.setenv('LOCAL_RANK', '0')
    distributed.init_process_group('gloo', init_method=f'file://{tmp_path}/rendezvous', rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def start(folder):
    """A strategy with a model of two weights, 1 and 2, and gradient descent with momentum."""
    wrapper = dict(type='MMFullyShardedDataParallel', use_orig_params=True, device_id=CPU)
    strategy = STRATEGIES.build(
        dict(type='FSDPStrategy', model_wrapper=wrapper, state_dict_cfg='full', work_dir=str(folder))
    )
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[1.0, 2.0]])
    strategy.model = strategy._wrap_model(strategy.build_model(model))
    optimizer = torch.optim.SGD(strategy.model.parameters(), lr=0.1, momentum=0.9)
    strategy.optim_wrapper = OptimWrapper(optimizer)
    return strategy


def step(strategy):
    """Descend along the gradient (3, 4); return the weights."""
    strategy.optim_wrapper.update_params(strategy.model(torch.tensor([[3.0, 4.0]])).sum())
    return strategy.model_state_dict()['weight'][0].tolist()


@pytest.mark.usefixtures('one_process')
def test_resumed_optimizer_has_its_momentum(tmp_path):
    strategy, resumed = start(tmp_path), start(tmp_path)
    assert step(strategy) == pytest.approx([0.7, 1.6])  # (1, 2) - 0.1 (3, 4)
    resumed.model.load_state_dict(strategy.model_state_dict())
    resumed.load_optim_state_dict(strategy.optim_state_dict())
    assert step(resumed) == pytest.approx([0.13, 0.84])  # (0.7, 1.6) - 0.1 (0.9 (3, 4) + (3, 4))
