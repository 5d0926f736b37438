import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmdiffperc.seg import BatchedSegTTAModel


@pytest.fixture(scope='module')
def segmentor(tiny_vpd):
    init_default_scope('mmseg')
    torch.manual_seed(0)
    cfg = Config.fromfile(tiny_vpd).model
    model = MODELS.build(ConfigDict(cfg, test_cfg=ConfigDict(mode='whole')))
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    return model.eval()


@pytest.fixture
def data():
    """Three images, of which the second has another size, at two scales, each with its mirror image."""
    torch.manual_seed(1)
    sizes = [(32, 48), (48, 32), (32, 48)]
    images = [torch.randint(256, (3, *size), dtype=torch.uint8) for size in sizes]
    inputs, samples = [], []
    for scale in (1, 2):
        for flip in (False, True):
            views = [image.repeat_interleave(scale, 1).repeat_interleave(scale, 2) for image in images]
            inputs.append([view.flip(2) if flip else view for view in views])
            samples.append([sample_of(index, size, flip) for index, size in enumerate(sizes)])
    return dict(inputs=inputs, data_samples=samples)


def sample_of(index, size, flip):
    information = dict(ori_shape=size, img_shape=size, img_path=f'{index}.png', flip=flip, flip_direction='horizontal')
    return SegDataSample(metainfo=information, gt_sem_seg=PixelData(data=torch.full((1, *size), index)))


def predict(model, data):
    sizes = []
    handle = model.module.backbone.register_forward_pre_hook(lambda module, args: sizes.append(tuple(args[0].shape)))
    with torch.no_grad():
        merged = model.test_step(data)
    handle.remove()
    return merged, sizes


@pytest.mark.parametrize('view_batch', [3, 8])
def test_equals_one_view_at_a_time(segmentor, data, view_batch, monkeypatch):
    small, tall, large, taller = (32, 48), (48, 32), (64, 96), (96, 64)
    batches = {
        3: [(3, 3, *small), (1, 3, *small), (2, 3, *tall), (3, 3, *large), (1, 3, *large), (2, 3, *taller)],
        8: [(4, 3, *small), (2, 3, *tall), (4, 3, *large), (2, 3, *taller)],
    }
    for kind in (SegTTAModel, BatchedSegTTAModel):  # what would be merged: the views of each image
        monkeypatch.setattr(kind, 'merge_preds', lambda model, views: [list(of_image) for of_image in views])
    single = [
        dict(inputs=[[view[i]] for view in data['inputs']], data_samples=[[view[i]] for view in copied])
        for i, copied in enumerate(copy.deepcopy([data['data_samples']] * 3))
    ]
    expected = [predict(SegTTAModel(segmentor), each)[0][0] for each in single]
    found, sizes = predict(BatchedSegTTAModel(segmentor, view_batch), data)
    assert sizes == batches[view_batch]
    for index, (views, others) in enumerate(zip(found, expected, strict=True)):
        assert len(views) == 4
        for view, other in zip(views, others, strict=True):
            assert view.img_path == f'{index}.png' and view.flip == other.flip
            torch.testing.assert_close(view.seg_logits.data, other.seg_logits.data, rtol=1e-4, atol=1e-4)
            assert view.seg_logits.data.std() > 0.01


def test_merged_prediction(segmentor, data):
    merged, _ = predict(BatchedSegTTAModel(segmentor), data)
    assert [sample.img_path for sample in merged] == ['0.png', '1.png', '2.png']
    for index, sample in enumerate(merged):
        assert (sample.gt_sem_seg.data == index).all()
        assert sample.pred_sem_seg.shape == sample.gt_sem_seg.shape


@pytest.mark.parametrize('kind', ['BatchedSegTTAModel', 'DepthTTAModel'])
@pytest.mark.parametrize('view_batch', [0, 1.5, None])
def test_wrong_number_of_views(segmentor, kind, view_batch):
    init_default_scope('mmseg')
    with pytest.raises(ValueError, match=f'{kind}: view_batch'):
        MODELS.build(dict(type=kind, module=segmentor, view_batch=view_batch))


def test_binary_segmentor_is_merged_without_a_second_sigmoid(tiny_vpd):
    init_default_scope('mmseg')
    cfg = Config.fromfile(tiny_vpd).model
    cfg.decode_head.update(num_classes=2, out_channels=1, loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=True))
    cfg.test_cfg = dict(mode='whole')
    model = MODELS.build(dict(type='BatchedSegTTAModel', module=cfg))
    samples = [SegDataSample(seg_logits=PixelData(data=torch.full((1, 2, 3), value))) for value in (0.1, 0.3)]
    (merged,) = model.merge_preds([samples])
    assert (merged.pred_sem_seg.data == 0).all()
