import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.generative import PixelRegression

ONE_PASS = dict(sampler='one_pass', prediction_type='sample', use_prompts=False)


@pytest.fixture
def images():
    """Of a size that is no multiple of 8."""
    return torch.rand(2, 3, 37, 52) * 2 - 1


def make_model(**options):
    init_cfg = dict(type='Pretrained', checkpoint='tiny-sd')
    model = PixelRegression('tiny-sd', init_cfg=init_cfg, **ONE_PASS, **options)
    model.init_weights()
    return model


@pytest.mark.parametrize(('mode', 'scale', 'channels'), [('RGB', 1.0, 3), ('F', 8.0, 1)])
def test_loss_is_that_of_the_estimate(images, mode, scale, channels):
    """As far as the estimate is not clipped."""
    model = make_model(target_mode=mode, target_scale=scale).eval()
    decoded = model.autoencoder.decode(*model.trace(images))[..., :37, :52]
    # Targets a little off what the model says; those of one channel, off its mean.
    seen = decoded if mode == 'RGB' else decoded.mean(1, keepdim=True)
    targets = (seen / 2 + 0.5) * scale + 0.1 * scale
    samples = [BaseDataElement(gt_target=PixelData(data=target)) for target in targets]
    loss = model.loss(images, samples)['loss_pixels']
    expected = 0.2**2 + (decoded - seen).square().mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)


def test_adapter_alone_is_trained_through_the_decoder(images):
    model = make_model(lora=dict(r=2)).train()
    samples = [BaseDataElement(gt_target=PixelData(data=torch.rand(3, 37, 52))) for _ in images]
    model(images, samples, mode='loss')['loss_pixels'].backward()
    changed = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert changed == {name for name, _ in model.named_parameters() if '.lora_B.' in name}  # A follows when B moves


def test_other_samplers_are_refused():
    with pytest.raises(ValueError, match="PixelRegression.*sampler='one_pass'.*'ddim'"):
        PixelRegression('tiny-sd')


def test_found_by_hosts():
    init_default_scope('mmseg')
    assert isinstance(MODELS.build(dict(type='PixelRegression', arch='tiny-sd', **ONE_PASS)), PixelRegression)
