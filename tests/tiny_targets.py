"""Images with target maps, and data samples of them."""

import torch
from mmengine.structures import BaseDataElement, PixelData
from torch.utils.data import Dataset

TINY_SD = dict(type='Pretrained', checkpoint='tiny-sd')
CAPTIONS = ['a red sphere', 'two boxes']


def make_samples(channels, size, captions=CAPTIONS, **metainfo):
    return [
        BaseDataElement(metainfo=dict(metainfo, text=caption), gt_target=PixelData(data=torch.rand(channels, *size)))
        for caption in captions
    ]


class Scenes(Dataset):
    """Images whose target is their negative, as a data set of an OpenMMLab package gives them."""

    metainfo = dict()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        image = torch.randint(256, (3, 16, 24), dtype=torch.uint8)
        target = PixelData(data=1 - image.flip(0) / 255)
        return dict(inputs=image, data_samples=BaseDataElement(metainfo=dict(text='a box'), gt_target=target))
