"""Pages and results agree; how a table is written."""

import json
from collections import Counter

import pytest
from markdown_it import MarkdownIt
from marked_blocks import blocks, pages
from pages import PAGES, ROOT
from toy_experiments import tables
from toy_experiments.tables import KIND, LAYOUTS, Table, Value, obstacle, with_results, write_pages
from toy_experiments.tasks import TASKS

from mmdiffperc.files import write_whole

# These tables still hold the numbers of the first release, whose results were not stored. Measure them again, run
# `python tools/measure_prior.py --write`, and remove them from the list.
FIRST_RELEASE = {
    'depth', 'depth-mirrored-rmse', 'depth-mirrored-rel', 'referring',
    'metaprompts', 'metaprompts-depth', 'pose', 'pose-longer-ap', 'pose-longer-ap50', 'detection', 'dmp',
}  # fmt: skip
with_blocks = pytest.mark.parametrize(
    'page', [page for page in PAGES if blocks(KIND, page.read_text())], ids=lambda page: str(page.relative_to(ROOT))
)


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_every_layout_has_a_place(in_root):
    names = Counter(name for page in pages() for name, _ in blocks(KIND, page.read_text()))
    assert names == Counter([*LAYOUTS]) and FIRST_RELEASE <= {*LAYOUTS}
    assert {page.resolve() for page in pages()} >= {page for page in PAGES if page.parent.name != 'docs'}
    for text in (page.read_text() for page in pages()):
        assert text.count('<!-- measured: ') == text.count('<!-- /measured') == len(blocks(KIND, text))


@with_blocks
def test_pages_show_the_results(in_root, page):
    for name, content in blocks(KIND, page.read_text()):
        if name in FIRST_RELEASE:
            assert obstacle(name), f'{name} has been measured: run measure_prior.py --write, and shorten FIRST_RELEASE'
        else:
            assert obstacle(name) == ''
            assert content == LAYOUTS[name].render()


@with_blocks
def test_pages_say_which_numbers_are_old(page):
    """A table of the first release, or one of its numbers, is near the note; a page without such numbers has none."""
    text = page.read_text()
    tables_of_page = {name for name, content in blocks(KIND, text) if content.startswith('\n|')}
    assert text.count('belong to the first tiny-sd') == len(tables_of_page & FIRST_RELEASE)


@with_blocks
def test_comments_do_not_show(page):
    """A line that begins with a comment ends a paragraph, so only a table may stand below one."""
    text = page.read_text()
    for name, content in blocks(KIND, text):
        begins_line = f'\n<!-- measured: {name} -->' in text
        assert begins_line == content.startswith('\n|') == isinstance(LAYOUTS[name], Table)
    tokens = MarkdownIt('commonmark').enable('table').parse(text)
    shown = [child.content for token in tokens for child in token.children or () if child.type == 'text']
    assert shown and not any('measured:' in words for words in shown)


@pytest.mark.parametrize('name', LAYOUTS)
def test_layouts_show_what_is_measured(name):
    for value in LAYOUTS[name].values:
        run = TASKS[value.task].runs[value.run]
        assert value.metric in TASKS[value.task].metrics and value.test in ('validation', *run.tests)
        assert value.seed is None or value.seed in run.seeds
    assert LAYOUTS[name].values[0].jobs


def store(task, run, seed, tiny_sd='x', **metrics):
    (job,) = [job for job in tables.jobs_of(task, run) if job.seed == seed]
    record = dict(tiny_sd=tiny_sd, toy_scenes=1, metrics=dict.fromkeys(job.tests, metrics))
    write_whole(job.file, json.dumps(record))


def store_depth(tiny_sd='x'):
    for seed in (0, 1, 2):
        store('depth', 'pre-trained', seed, tiny_sd, rmse=0.5 + seed / 10, abs_rel=0.25, d1=0.75)
        store('depth', 'random', seed, tiny_sd, rmse=1.0004, abs_rel=0.5, d1=0.25)
    store('depth', 'mean-depth', None, tiny_sd, rmse=2, abs_rel=0.75, d1=0)


def test_a_table_by_hand(clone):
    store_depth()
    table = Table(
        ('start', 'text'),
        {
            ('a', 'b'): dict(run='pre-trained', best=min),
            ('c', ''): dict(run='random', spread=True, best=max),
            ('none', 'e'): dict(run='mean-depth', spread=True),
        },
        {'RMSE': dict(metric='rmse'), 'seed 1': dict(metric='rmse', seed=1), 'd1': dict(metric='d1')},
        dict(task='depth'),
    )
    assert table.render() == (
        '\n| start | text | RMSE | seed 1 | d1 |\n'
        '|---|---|---|---|---|\n'
        '| a | b | **0.600** | 0.600 | 0.750 |\n'
        '| c |  | **1.000** (1.000 to 1.000) | 1.000 | 0.250 (0.250 to 0.250) |\n'
        '| none | e | 2.000 |  | 0.000 |\n'
    )


def test_a_metric_that_a_run_does_not_have(clone):
    store('detection', 'random', 0, **{'coco/bbox_mAP': 0.25})
    assert Value('detection', 'random', 'coco/segm_mAP', seed=0).render() == ''
    with pytest.raises(FileNotFoundError, match='random-seed1'):
        Value('detection', 'random', 'coco/segm_mAP').render()


def test_a_test_that_has_been_added(clone):
    store('segmentation', 'pre-trained', 0, mIoU=40)
    (job,) = LAYOUTS['demo-multi-scale'].jobs
    assert obstacle('demo-multi-scale') == ''
    record = json.loads(job.file.read_text())
    del record['metrics']['multi-scale']
    write_whole(job.file, json.dumps(record))
    assert obstacle('demo-multi-scale') == '1 of 1 results are missing'


PAGE = """Before
<!-- measured: depth -->
old
<!-- /measured -->
RMSE of <!-- measured: depth-mirrored-rmse -->0.1<!-- /measured --> m,
mIoU <!-- measured: demo-checkpoint -->56.6<!-- /measured -->.
"""


def test_pages_are_written_from_complete_results(clone):
    (clone / 'docs').mkdir()
    page = clone / 'docs' / 'a.md'
    page.write_text(PAGE)
    assert write_pages().keys() == {'depth', 'depth-mirrored-rmse', 'demo-checkpoint'} and page.read_text() == PAGE
    store_depth()
    store('depth', 'random', 1, tiny_sd='another', rmse=9, abs_rel=9, d1=9)
    left = write_pages()
    assert 'tiny-sd' in left['depth'] and left['demo-checkpoint'] == '1 of 1 results are missing'
    assert page.read_text() == PAGE.replace('0.1<', '0.600<')
    store_depth()
    assert write_pages().keys() == {'demo-checkpoint'}
    lines = page.read_text().splitlines()
    assert lines[:2] == ['Before', '<!-- measured: depth -->'] and lines[7] == '<!-- /measured -->'
    assert lines[4].endswith('| 0.600 | 0.250 | 0.750 |') and lines[6].endswith('| 2.000 | 0.750 | 0.000 |')
    assert with_results(page.read_text()) == page.read_text()
