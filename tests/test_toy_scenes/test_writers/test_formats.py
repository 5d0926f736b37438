import re
from pathlib import Path

from mmdiffperc.toy_scenes.writers import FORMATS, READ_BY_CONFIGS
from mmdiffperc.toy_scenes.writers.coco import CocoWriter

ROOT = Path(__file__).parents[3]
BASES = [*ROOT.glob('configs/_base_/datasets/toy_*.py'), *ROOT.glob('projects/*/configs/_base_/datasets/toy_*.py')]


def test_formats_of_each_domain():
    names, domains = ('ade', 'nyu', 'coco', 'refcoco', 'dmp', 'captions'), ('', '_b', '_c', '_d', '_e')
    assert set(FORMATS) == {name + domain for name in names for domain in domains} | {'refcoco_kinds'}
    assert FORMATS['coco'] == (CocoWriter, None, ('train', 'val'))
    assert FORMATS['coco_d'] == (CocoWriter, 'd', ('val',))


def test_configs_read_the_formats_that_are_written_by_default():
    roots = re.findall(r"'data/toy/(\w+)/?'", ''.join(path.read_text() for path in BASES))
    assert set(roots) == set(READ_BY_CONFIGS) < set(FORMATS)
