"""Pages and results agree; which pages are written."""

import json
from collections import Counter

import pytest
from markdown_it import MarkdownIt
from marked_blocks import blocks, pages
from pages import PAGES, ROOT
from toy_experiments import layouts
from toy_experiments.claims import Claims
from toy_experiments.layouts import FIRST_RELEASE, KIND, LAYOUTS, missing, obstacle, with_results, write_pages
from toy_experiments.tables import Difference, Picture, Table
from toy_experiments.tasks import TASKS

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
            assert missing(name), f'{name} has been measured: run measure_prior.py --write, and shorten FIRST_RELEASE'
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
        assert begins_line == content.startswith('\n') == isinstance(LAYOUTS[name], Table | Claims | Picture)
    tokens = MarkdownIt('commonmark').enable('table').parse(text)
    shown = [child.content for token in tokens for child in token.children or () if child.type == 'text']
    assert shown and not any('measured:' in words for words in shown)


@pytest.mark.parametrize('name', LAYOUTS)
def test_layouts_show_what_is_measured(name):
    for value in LAYOUTS[name].values:
        run = TASKS[value.task].runs[value.run]
        tests = {value.test, value.beyond or value.test}
        assert value.metric in TASKS[value.task].metrics and tests <= {'validation', *run.tests}
        if isinstance(value, Difference):
            assert all(value.metric in run.tests[test].per_image for test in tests)
            assert TASKS[value.task].runs[value.baseline].tests == run.tests
        else:
            assert value.seed is None or value.seed in run.seeds
    assert LAYOUTS[name].values[0].jobs


PAGE = """Before
<!-- measured: depth -->
old
<!-- /measured -->
RMSE of <!-- measured: depth-mirrored-rmse -->0.1<!-- /measured --> m,
mIoU <!-- measured: demo-checkpoint -->56.6<!-- /measured -->.
"""


def test_pages_are_written(clone, store, store_depth, monkeypatch):
    """Numbers of the first release stay until all results are there. Of all others, the page shows what there is."""
    monkeypatch.setattr(layouts, 'FIRST_RELEASE', {'depth', 'depth-mirrored-rmse'})
    (clone / 'docs').mkdir()
    page = clone / 'docs' / 'a.md'
    page.write_text(PAGE)
    assert write_pages().keys() == {'depth', 'depth-mirrored-rmse'}
    assert page.read_text() == PAGE.replace('56.6', 'not measured yet')
    store_depth()
    store('depth', 'random', 1, tiny_sd='another', rmse=9, abs_rel=9, d1=9)
    store('segmentation', 'pre-trained-3600', 0, mIoU=70)
    left = write_pages()
    assert left.keys() == {'depth'} and 'tiny-sd' in left['depth']
    assert page.read_text() == PAGE.replace('0.1<', '0.600<').replace('56.6', '70.0')
    store_depth()
    assert write_pages() == {}
    lines = page.read_text().splitlines()
    assert lines[:2] == ['Before', '<!-- measured: depth -->'] and lines[7] == '<!-- /measured -->'
    assert lines[4].endswith('| 0.600 | 0.250 | 0.750 |') and lines[6].endswith('| 2.000 | 0.750 | 0.000 |')
    assert with_results(page.read_text()) == page.read_text()


def test_a_test_that_has_been_added(store):
    file = store('segmentation', 'pre-trained', 0, mIoU=40)
    assert missing('demo-multi-scale') == ''
    record = json.loads(file.read_text())
    del record['metrics']['multi-scale']
    file.write_text(json.dumps(record))
    assert missing('demo-multi-scale') == '1 of 1 results are missing'
