"""Whether the captions of data samples reach the prompts, in models of every host."""

import copy

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.prompts.sample_sentences import current_sentences, enter_call, leave_call, samples_of
from mmdiffperc.seg.windows import BatchedWindows

CAPTIONS = ['a red sphere', 'a blue box and a cone']


class Model(BaseModel):
    """As a host: only the images go to the backbone."""

    def __init__(self, backbone, windows=1):
        super().__init__()
        self.backbone = backbone
        self.windows = windows

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.backbone(torch.cat([inputs] * self.windows))


@pytest.fixture(scope='module')
def backbone():
    prompts = dict(type='CaptionPrompts', max_length=9)
    config = dict(type='Pretrained', checkpoint='tiny-sd')
    backbone = DiffusionUNet('tiny-sd', out_indices=(2,), prompts=prompts, init_cfg=config)
    backbone.init_weights()
    return backbone.eval()


@pytest.fixture
def images():
    return torch.rand(2, 3, 64, 64) * 2 - 1


def samples(*captions):
    metas = [
        dict(img_path=f'{index}.png') | (dict(text=text) if text is not None else {})
        for index, text in enumerate(captions)
    ]
    return [BaseDataElement(metainfo=meta) for meta in metas]


@torch.no_grad()
@pytest.mark.parametrize('by_name', [False, True])
def test_captions_reach_the_prompts(backbone, images, by_name):
    (expected,) = backbone((images, CAPTIONS))
    arguments = dict(inputs=images, data_samples=samples(*CAPTIONS)) if by_name else {}
    (feature,) = Model(backbone)(**arguments) if by_name else Model(backbone)(images, samples(*CAPTIONS))
    torch.testing.assert_close(feature, expected)
    (swapped,) = Model(backbone)(images, samples(*CAPTIONS[::-1]))
    assert (swapped - expected).abs().max() > 1e-2
    assert current_sentences(2) is None


@torch.no_grad()
def test_windows_of_the_same_images(backbone, images):
    (feature,) = Model(backbone, windows=3)(images, samples(*CAPTIONS))
    (expected,) = backbone((images, CAPTIONS))
    torch.testing.assert_close(feature, expected.repeat(3, 1, 1, 1), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_copy_reads_its_own_call(backbone, images):
    """Such as the moving average of the weights."""
    original = Model(backbone)
    clone = copy.deepcopy(original)
    torch.testing.assert_close(clone(images, samples(*CAPTIONS)), original(images, samples(*CAPTIONS)))


def test_a_sample_without_caption_is_named(backbone, images):
    with pytest.raises(ValueError, match='1.png.*LoadCaption.*meta_keys'):
        Model(backbone)(images, samples('a sphere', None))
    assert current_sentences(2) is None
    with pytest.raises(TypeError, match='sentences'):
        Model(backbone)(images)


def test_calls_inside_of_calls():
    enter_call(samples('outer'))
    enter_call(samples('inner'))
    assert current_sentences(2) == ['inner', 'inner']
    leave_call()
    assert current_sentences(1) == ['outer']
    leave_call()
    assert current_sentences(1) is None


def test_other_prompts_have_no_hooks(arch):
    model = Model(DiffusionUNet(arch))
    assert not model._forward_hooks


def test_samples_of_a_batch_of_windows():
    """Which images of a call go through the network may be said for each batch."""
    enter_call(samples('a', 'b'))
    with samples_of([dict(text='b'), dict(text='a'), dict(text='b')]):
        assert current_sentences(3) == ['b', 'a', 'b']
    assert current_sentences(2) == ['a', 'b']
    leave_call()


@torch.no_grad()
@pytest.mark.parametrize('window_batch', [1, 3, 4])
def test_windows_keep_the_captions_of_their_images(backbone, window_batch):
    """Of two images, three windows each, in batches that mix the images."""

    class Windows(BatchedWindows, Model):
        out_channels = 128

        def encode_decode(self, inputs, metas):
            (feature,) = self.backbone(inputs)
            return feature.mean((2, 3), keepdim=True).expand(-1, -1, *inputs.shape[-2:])

        def forward(self, inputs, data_samples=None, mode='tensor'):
            return self.slide_inference(inputs, [sample.metainfo for sample in data_samples])

    model = Windows(backbone)
    model.test_cfg = dict(crop_size=(64, 64), stride=(64, 64), window_batch=window_batch)
    images = torch.rand(2, 3, 64, 192) * 2 - 1
    together = model(images, samples(*CAPTIONS))
    alone = [model(images[index : index + 1], samples(CAPTIONS[index])) for index in range(2)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-3, atol=1e-3)
