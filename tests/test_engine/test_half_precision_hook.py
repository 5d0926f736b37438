import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import HOOKS, METRICS, MODELS
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmdiffperc.models import DiffusionUNet


@MODELS.register_module(force=True)
class Recording(BaseModel):
    """A backbone and a layer that keeps its weights; remembers the types of its results."""

    def __init__(self, arch):
        super().__init__()
        self.backbone = DiffusionUNet(arch)
        self.conv_seg = torch.nn.Conv2d(8, 2, 1)
        self.inner = torch.nn.Conv2d(8, 8, 1)
        self.types = []

    def forward(self, images, mode):
        feature = self.backbone(torch.stack(images))[0]
        inner = self.inner(feature)
        logits = self.conv_seg(inner)
        self.types.append((self.backbone.unet.dtype, feature.dtype, inner.dtype, logits.dtype))
        return [logits] if mode == 'predict' else dict(loss=logits.sum())


@METRICS.register_module(force=True)
class Counting(BaseMetric):
    """Counts the batches."""

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        return dict(batches=sum(results))


class OneImage(Dataset):
    """One image."""

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return dict(images=torch.rand(3, 16, 24) * 2 - 1)


@pytest.fixture
def runner(arch, tmp_path):
    def runner(**settings):
        loader = dict(
            dataset=OneImage(), batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False)
        )
        phases = {
            f'{phase}_{part}': value
            for phase in ('val', 'test')
            for part, value in dict(dataloader=loader, evaluator=dict(type='Counting'), cfg=dict()).items()
        }
        hook = dict(type='HalfPrecisionHook', **settings)
        return Runner(
            dict(type='Recording', arch=arch), str(tmp_path), custom_hooks=[hook], log_level='ERROR', **phases
        )

    return runner


@pytest.mark.parametrize(
    ('dtype', 'inner'),
    [('bfloat16', torch.bfloat16), ('float16', torch.float32)],  # mmengine's autocast has no float16 on a CPU
)
def test_testing(runner, dtype, inner):
    run = runner(dtype=dtype)
    assert run.test() == dict(batches=1)
    assert run.model.types == [(getattr(torch, dtype), torch.float32, inner, torch.float32)]
    assert not any(weight.requires_grad for weight in run.model.parameters())


def test_validation_is_in_single_precision(runner):
    run = runner()
    assert run.val() == dict(batches=1)
    assert run.model.types == [(torch.float32,) * 4]


@pytest.mark.parametrize('dtype', ['float32', 'half', None, 16])
def test_wrong_type(dtype):
    with pytest.raises(ValueError, match=f'HalfPrecisionHook: dtype={dtype!r}.*bfloat16'):
        HOOKS.build(dict(type='HalfPrecisionHook', dtype=dtype))
