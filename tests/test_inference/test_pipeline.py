import pytest
from mmengine.config import Config
from mmengine.dataset import ConcatDataset

from mmdiffperc.inference.pipeline import pipeline_for_testing, transforms_for_testing

LOAD, FLIP, PACK = (dict(type=name) for name in ('LoadImageFromFile', 'RandomFlip', 'PackSegInputs'))
OWN = dict(type='NYUDataset', pipeline=[LOAD, PACK], lazy_init=True)


@pytest.mark.parametrize(
    ('dataset', 'expected'),
    [
        (OWN, [LOAD, PACK]),
        (dict(type='RepeatDataset', times=2, dataset=OWN), [LOAD, PACK]),
        (dict(type='ConcatDataset', datasets=[OWN, dict(OWN, pipeline=[FLIP])]), [LOAD, PACK]),
        (dict(type=ConcatDataset, datasets=[dict(type='RepeatDataset', times=2, dataset=OWN)]), [LOAD, PACK]),
        # mmseg's, whose transforms come after those of the data set, and mmpose's, whose data sets may have none
        (
            dict(type='MultiImageMixDataset', dataset=dict(OWN, pipeline=[LOAD]), pipeline=[FLIP, PACK]),
            [LOAD, FLIP, PACK],
        ),
        (dict(type='CombinedDataset', datasets=[dict(OWN, pipeline=[])], pipeline=[LOAD, PACK]), [LOAD, PACK]),
    ],
)
def test_pipeline_of_a_wrapped_data_set(dataset, expected):
    assert transforms_for_testing(Config(dict(test_dataloader=dict(dataset=dataset)))) == expected


def test_the_first_of_several_data_loaders():
    assert transforms_for_testing(Config(dict(test_dataloader=[dict(dataset=OWN), dict(dataset={})]))) == [LOAD, PACK]


@pytest.mark.parametrize(
    'cfg',
    [{}, dict(test_dataloader=None), dict(test_dataloader=[]), dict(test_dataloader=dict(dataset=dict(type='X')))],
)
def test_config_without_test_data(cfg):
    with pytest.raises(ValueError, match=r'test_dataloader\.dataset\.pipeline'):
        pipeline_for_testing(Config(cfg))
