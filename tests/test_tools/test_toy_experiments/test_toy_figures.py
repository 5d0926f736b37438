"""Figures show the stored results, and a page shows each figure."""

import json
from pathlib import Path

import pytest
from PIL import Image
from toy_experiments import figures, tables
from toy_experiments.figures import FIGURES, Curves, write_figures
from toy_experiments.tables import LAYOUTS, Table, pages
from toy_experiments.tasks import TASKS

from mmdiffperc.files import write_whole

ROOT = Path(__file__).parents[3]
CURVES = Curves('depth-by-start', 'RMSE (m)')


@pytest.fixture
def results(clone, monkeypatch):
    """Results of the task depth with an RMSE of 0.5, 0.7 and 0.6 m, and twice as much from a random U-Net."""
    rows = {('trained', '`pre`'): dict(run='pre-trained'), ('', 'random'): dict(run='random')}
    columns = {'whole': {}, 'seed 1': dict(seed=1)}
    monkeypatch.setitem(
        LAYOUTS, 'depth-by-start', Table(('', 'start'), rows, columns, dict(task='depth', metric='rmse'))
    )
    for run, factor in {'pre-trained': 1, 'random': 2}.items():
        for job in tables.jobs_of('depth', run):
            metrics = dict(rmse=factor * (0.5, 0.7, 0.6)[job.seed])
            write_whole(
                job.file, json.dumps(dict(tiny_sd='x', toy_scenes=1, metrics=dict.fromkeys(job.tests, metrics)))
            )


def test_a_line_for_each_column(results):
    (ax,) = CURVES.draw().axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ['whole', 'seed 1']
    assert [label.get_text() for label in ax.get_xticklabels()] == ['pre', 'random']
    lines, _, bars = zip(*(container.lines for container in ax.containers), strict=True)
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([0.6, 1.2]), pytest.approx([0.7, 1.4])]
    ranges = [[segment[:, 1].tolist() for segment in bar.get_segments()] for (bar,) in bars]
    assert ranges[0] == [pytest.approx([0.5, 0.7]), pytest.approx([1.0, 1.4])]
    assert ranges[1] == [pytest.approx([0.7, 0.7]), pytest.approx([1.4, 1.4])]


def test_figures_are_drawn_from_complete_results(results, clone, monkeypatch):
    monkeypatch.setattr(figures, 'FIGURES', {'resources/a.png': CURVES, 'resources/b.png': Curves('referring', 'oIoU')})
    assert write_figures() == {'resources/b.png': '6 of 6 results are missing'}
    assert not (clone / 'resources/b.png').exists()
    with Image.open(clone / 'resources/a.png') as image:
        assert image.format == 'PNG' and image.width > 2 * image.height


@pytest.mark.parametrize('name', FIGURES)
def test_a_page_shows_each_figure(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert (ROOT / name).is_file() and isinstance(LAYOUTS[FIGURES[name].table], Table)
    assert {value.task for value in LAYOUTS[FIGURES[name].table].values} <= TASKS.keys()
    assert any(f'{name})' in page.read_text() for page in pages())
