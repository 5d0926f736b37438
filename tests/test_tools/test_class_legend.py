from class_legend import add_legend
from matplotlib.figure import Figure


def test_the_legend_names_the_classes_in_the_pictures():
    figure = Figure(layout='constrained')
    add_legend(figure, {2, 0, 255}, ['wall', 'floor', 'ball'], [[0, 0, 0], [1, 1, 1], [255, 0, 51]])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ['wall', 'ball']
    assert [patch.get_facecolor()[:3] for patch in legend.get_patches()] == [(0, 0, 0), (1, 0, 0.2)]
