"""mmseg's own inferencer, which looks for names in the test pipeline, takes every config for mmsegmentation."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.apis import MMSegInferencer

CONFIGS = Path(__file__).parents[2] / 'configs'
NAMES = [
    f'{path.parent.name}/{path.stem}'
    for folder in ('vpd', 'metaprompts')
    for path in sorted((CONFIGS / folder).glob('*.py'))
    if not path.stem.startswith('td-hm')  # of mmpose
]


@pytest.mark.parametrize('name', NAMES)
def test_pipeline(name):
    init_default_scope('mmseg')
    pipeline = MMSegInferencer._init_pipeline(
        MMSegInferencer.__new__(MMSegInferencer), Config.fromfile(CONFIGS / f'{name}.py')
    )
    assert type(pipeline.transforms[0]).__name__ == 'InferencerLoader'
