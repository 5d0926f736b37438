from mmengine.logging import MMLogger
from mmengine.model import BaseModel, Sequential
from torch import nn

import mmdiffperc.compat  # noqa: F401  (installs what is tested)


class Model(BaseModel):
    """A model with three kinds of initialisation."""

    def __init__(self):
        super().__init__()
        ones = dict(type='Constant', val=1, layer='Conv2d')
        self.head = Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1, bias=False), init_cfg=ones)
        self.neck = Sequential(nn.Linear(2, 3), nn.Linear(3, 4))

    def forward(self, x):
        return x


def test_one_line_for_each_kind(tmp_path):
    logger = MMLogger.get_instance('init_log', log_file=str(tmp_path / 'log.txt'))
    Model().init_weights()
    logger.handlers[-1].flush()
    _, constant, same = (tmp_path / 'log.txt').read_text().splitlines()
    assert constant.startswith('3 tensors of head: ConstantInit: val=1')
    assert same.startswith('4 tensors of neck: ') and same.endswith(' of Model')
