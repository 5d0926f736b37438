import pytest
import torch
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor, SegTTAModel
from mmseg.structures import SegDataSample
from torch import nn

from mmdiffperc.models import TextAdapter


class Segmentor(BaseModel):
    """The simplest one with a part of ours: its logits are the image, and it ends as every segmentor of mmseg does."""

    align_corners = False
    postprocess_result = BaseSegmentor.postprocess_result

    def __init__(self, out_channels, threshold=0.5):
        super().__init__()
        self.out_channels = out_channels
        self.adapter = TextAdapter(3)
        self.decode_head = nn.Module()
        self.decode_head.threshold = threshold

    def forward(self, inputs, data_samples, mode):
        """Predict."""
        return self.postprocess_result(torch.stack(inputs), data_samples)


def predict(segmentor, *views):
    samples = [[SegDataSample(metainfo=dict(ori_shape=(2, 2), img_path='a.png'))] for _ in views]
    batch = dict(inputs=[[torch.tensor(view)] for view in views], data_samples=samples)
    init_default_scope('mmseg')
    (merged,) = SegTTAModel(module=segmentor).test_step(batch)
    return merged


def test_mean_probability_of_foreground():
    """Log-odds of log 3 are a probability of 0.75, of 2 log 3 of 0.9."""
    log3 = torch.tensor(3.0).log().item()
    views = [[[log3, -log3], [2 * log3, -9.0]]], [[[log3, -log3], [-log3, 8.0]]]
    merged = predict(Segmentor(1), *views)
    assert merged.pred_sem_seg.data.tolist() == [[[1, 0], [1, 0]]]  # 0.75, 0.25, (0.9 + 0.25) / 2, below 0.5
    assert merged.img_path == 'a.png'
    assert predict(Segmentor(1, threshold=0.6), *views).pred_sem_seg.data.tolist() == [[[1, 0], [0, 0]]]


def test_equal_views_change_nothing():
    view = torch.linspace(-2, 2, 4).reshape(1, 2, 2).tolist()
    assert predict(Segmentor(1), view, view).pred_sem_seg.data.tolist() == [[[0, 0], [1, 1]]]


@pytest.mark.parametrize('out_channels', [2, 1])
def test_others_stay_as_they_are(out_channels):
    class OwnTTAModel(SegTTAModel):
        def merge_preds(self, data_samples_list):
            """Merge in another way."""

    assert 'merge_preds' not in vars(SegTTAModel(module=Segmentor(2)))
    assert 'merge_preds' not in vars(OwnTTAModel(module=Segmentor(out_channels)))


def test_truth_is_kept():
    views = [
        SegDataSample(seg_logits=PixelData(data=torch.full((1, 2, 2), 0.9)), gt_sem_seg=PixelData(data=truth))
        for truth in (torch.ones(1, 2, 2), torch.zeros(1, 2, 2))
    ]
    (merged,) = SegTTAModel(module=Segmentor(1)).merge_preds([views])
    assert merged.gt_sem_seg.data.all() and merged.pred_sem_seg.data.all()
