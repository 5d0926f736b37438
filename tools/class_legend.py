"""The legend of classes below a figure."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

LEGEND_INCHES = 0.4


def add_legend(figure: Figure, labels: set[int], classes: list[str], palette: list[list[int]]):
    """Add a legend with the classes of these labels; labels without a class are left out."""
    patches = [
        Patch(facecolor=np.divide(palette[label], 255), edgecolor='grey', label=classes[label])
        for label in sorted(labels)
        if label < len(classes)
    ]
    figure.legend(handles=patches, ncols=len(patches), loc='outside lower center', fontsize=8, frameon=False)
