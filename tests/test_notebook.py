"""The notebook in ``demo/`` runs from its first to its last cell."""

import nbformat
import pytest
from pages import ROOT

from mmdiffperc.toy_scenes import TOY_CLASSES

NOTEBOOK = nbformat.read(ROOT / 'demo' / 'mmdiffperc.ipynb', as_version=4)  # checks the format
SHORTER = dict(NUM_TRAIN=4, NUM_VAL=4, ITERATIONS=2)


def run_cells(notebook, parameters):
    """Run all code cells in one scope; the parameters replace those of the cell with this tag, as in papermill."""
    scope = {}
    for cell in notebook.cells:
        if cell.cell_type == 'code':
            exec(compile(cell.source, cell.id, 'exec'), scope)
        if 'parameters' in cell.metadata.get('tags', ()):
            assert parameters.keys() <= scope.keys()
            scope.update(parameters)
    return scope


@pytest.fixture(scope='module')
def scope(tmp_path_factory):
    """The variables after a short run in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp('notebook'))
        patch.setenv('MPLBACKEND', 'agg')
        return run_cells(NOTEBOOK, SHORTER)


def test_the_stock_config_has_the_diffusion_backbone(scope):
    model = scope['cfg'].model
    assert model.backbone.type == 'DiffusionUNet' and model.neck.type == 'FPN' and model.decode_head.type == 'FPNHead'
    assert model.neck.in_channels == list(scope['inferencer'].model.backbone.out_channels)
    assert model.decode_head.num_classes == len(TOY_CLASSES)


def test_the_training_is_validated(scope):
    assert scope['log']['mIoU'].notna().sum() == 1


def test_predictions_and_attention_maps_are_drawn(scope):
    assert len(scope['images']) == len(scope['labels']) == len(scope['rows']) == 4
    assert scope['labels'][0].shape == (128, 128)
    assert [title for title, _ in scope['rows'][0]] == ['image', 'floor', 'sphere', 'box']
    assert scope['rows'][0][1][1].shape == (128, 128, 3)


def test_the_notebook_is_stored_without_results():
    assert not any(cell.get('outputs') or cell.get('execution_count') for cell in NOTEBOOK.cells)
