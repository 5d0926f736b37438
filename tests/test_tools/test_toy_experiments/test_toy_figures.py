"""Figures show the stored results, and a page shows each figure that has been drawn."""

from pathlib import Path

import pytest
from marked_blocks import pages
from PIL import Image
from toy_experiments import figures
from toy_experiments.figures import FIGURES, Curves, Losses, write_figures
from toy_experiments.layouts import LAYOUTS, missing
from toy_experiments.tables import Picture, Table
from toy_experiments.tasks import TASKS

ROOT = Path(__file__).parents[3]
CURVES = Curves('depth-by-start', 'RMSE (m)')


@pytest.fixture
def results(store, monkeypatch):
    """Results of the task depth with an RMSE of 0.5, 0.7 and 0.6 m, and twice as much from a random U-Net."""
    rows = {('`pre`',): dict(run='pre-trained'), ('random',): dict(run='random')}
    columns = {'whole': {}, 'seed 1': dict(seed=1)}
    table = Table(('start',), rows, columns, dict(task='depth', metric='rmse'))
    monkeypatch.setitem(LAYOUTS, 'depth-by-start', table)
    for run, factor in {'pre-trained': 1, 'random': 2}.items():
        for seed, rmse in enumerate((0.5, 0.7, 0.6)):
            store('depth', run, seed, rmse=factor * rmse, losses={'50': factor * rmse, '100': factor * rmse / 10})


def lines_of(figure):
    """The title, the labels of the points and the values of each line."""
    (ax,) = figure.axes
    labels = [label.get_text() for label in ax.get_xticklabels()]
    titles = [text.get_text() for text in ax.get_legend().get_texts()]
    lines = [container.lines[0].get_ydata().tolist() for container in ax.containers]
    return titles, labels, lines


def test_a_line_for_each_column(results):
    (ax,) = CURVES.draw().axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ['whole', 'seed 1']
    assert [label.get_text() for label in ax.get_xticklabels()] == ['pre', 'random']
    lines, _, bars = zip(*(container.lines for container in ax.containers), strict=True)
    assert [line.get_ydata().tolist() for line in lines] == [pytest.approx([0.6, 1.2]), pytest.approx([0.7, 1.4])]
    ranges = [[segment[:, 1].tolist() for segment in bar.get_segments()] for (bar,) in bars]
    assert ranges[0] == [pytest.approx([0.5, 0.7]), pytest.approx([1.0, 1.4])]
    assert ranges[1] == [pytest.approx([0.7, 0.7]), pytest.approx([1.4, 1.4])]


def test_a_line_for_each_row(results):
    titles, labels, lines = lines_of(Curves('depth-by-start', 'RMSE (m)', over_columns=True).draw())
    assert (titles, labels) == (['pre', 'random'], ['whole', 'seed 1'])
    assert lines == [pytest.approx([0.6, 0.7]), pytest.approx([1.2, 1.4])]


def test_losses_are_means_of_the_seeds(results):
    figure = Losses('depth-by-start', 'depth', lambda run: run[:3], ('pre-trained', 'random')).draw()
    assert [ax.get_title() for ax in figure.axes] == ['pre', 'ran']
    for ax, factor in zip(figure.axes, (1, 2), strict=True):
        (line,) = ax.lines
        assert line.get_xdata().tolist() == [50, 100]
        assert line.get_ydata().tolist() == pytest.approx([0.6 * factor, 0.06 * factor])


def test_figures_are_drawn_from_complete_results(results, clone, monkeypatch):
    monkeypatch.setattr(figures, 'FIGURES', {'resources/a.png': CURVES, 'resources/b.png': Curves('referring', 'oIoU')})
    assert write_figures() == {'resources/b.png': '6 of 6 results are missing'}
    assert not (clone / 'resources/b.png').exists()
    with Image.open(clone / 'resources/a.png') as image:
        assert image.format == 'PNG' and image.width > 2 * image.height


@pytest.mark.parametrize('name', FIGURES)
def test_a_page_shows_each_figure(name, monkeypatch):
    """If there is none yet, a page has a place for it."""
    monkeypatch.chdir(ROOT)
    assert isinstance(LAYOUTS[FIGURES[name].table], Table)
    assert {value.task for value in LAYOUTS[FIGURES[name].table].values} <= TASKS.keys()
    shown = any(f'{name})' in page.read_text() for page in pages())
    if missing(FIGURES[name].table):
        assert not shown
        assert any(layout.path.endswith(name) for layout in LAYOUTS.values() if isinstance(layout, Picture))
    else:
        assert shown and (ROOT / name).is_file()
