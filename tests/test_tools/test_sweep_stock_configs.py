"""The page about stock configs says what is found: of a few here, of all in the test that is marked slow."""

from pathlib import Path

import pytest
import sweep_stock_configs as sweep
import torch
from mmengine.utils import get_installed_path
from mmengine.utils.dl_utils import mmcv_full_available
from tiny_arch import write_arch

PAGE = Path(__file__).parents[2] / 'configs' / 'README.md'
# Together they have features of their own strides and resized ones, repeated levels, necks that hand features on, heads
# in parts, both kinds of errors, and all hosts.
QUICK = [
    'deeplabv3plus_r50-d8.py',
    'fastfcn_r50-d32_jpu_psp.py',
    'ocrnet_r50-d8.py',
    'dpt_vit-b16.py',
    'san_vit-b16.py',
    'psanet_r50-d8.py',
    'retinanet_r50_fpn_1x_coco.py',
    'mask-rcnn_r50_fpn_1x_coco.py',
    'detr_r50_8xb2-150e_coco.py',
    'td-hm_hrnet-w32_8xb64-210e_coco-256x192.py',
    'td-reg_res50_rle-8xb64-210e_coco-256x192.py',
]


def all_configs():
    return [stock for stocks in sweep.stock_configs().values() for stock in stocks]


@pytest.mark.parametrize('name', QUICK)
def test_the_page_says_what_is_found(tmp_path, name):
    """With other widths than those that the page was written with."""
    (stock,) = (stock for stock in all_configs() if stock.name.endswith(f'/{name}'))
    row = sweep.make_row(stock, sweep.try_config(stock, write_arch(tmp_path / 'arch')))
    assert sweep.compare(PAGE.read_text(), [row], mmcv_full_available()) == []


@pytest.mark.slow
def test_the_page_says_all_that_is_found():
    assert sweep.main(['--check']) == 0


def test_the_page_has_all_configs_and_no_other():
    rows = [line.split('|')[1].strip(' `') for line in PAGE.read_text().splitlines() if line.startswith('| `')]
    assert rows == [stock.name.partition('::')[2] for stock in all_configs()]
    bases = Path(get_installed_path('mmseg'), '.mim', 'configs', '_base_', 'models').glob('*.py')
    assert {f'_base_/models/{path.name}' for path in bases} - set(rows) == {'_base_/models/vpd_sd.py'}
    assert 'in place of `_base_/models/vpd_sd.py`' in PAGE.read_text()


def test_most_work_as_they_are():
    """What does not, or needs to be told something, is counted, so that a change of the page is seen."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith('| `')]
    number = {kind: sum(f'| {kind}' in row for row in rows) for kind in ('as is', 'with', 'cannot', 'needs full mmcv')}
    assert sum(number.values()) == len(rows)
    assert (number['with'], number['cannot'], number['needs full mmcv']) == (4, 5, 1)
    assert f'{len(rows)} stock configs' in (PAGE.parents[1] / 'README.md').read_text()


def test_a_page_that_says_otherwise(monkeypatch, tmp_path, capsys):
    page = tmp_path / 'README.md'
    page.write_text(PAGE.read_text().replace('/san_vit-b16.py` | ', '/san_vit-b16.py` | 0'))
    monkeypatch.setattr(sweep, 'PAGE', page)
    assert sweep.main(['--check', '--only', 'san_vit']) == 1
    assert 'configs that differ: 1\n| `_base_/models/san_vit-b16.py` |  |  | cannot:' in capsys.readouterr().err
    monkeypatch.setattr(sweep, 'PAGE', PAGE)
    assert sweep.main(['--check', '--only', 'san_vit']) == 0


def test_with_full_mmcv_what_needs_it_works():
    page = '| `a.py` |  |  | needs full mmcv: `op` |\n| `b.py` | 0 | 8 | as is |'
    found = ['| `a.py` | 0 | 4 | as is |', '| `b.py` | 0 | 8 | as is |']
    assert sweep.compare(page, found, full_mmcv=True) == []
    assert sweep.compare(page, found, full_mmcv=False) == found[:1]
    assert sweep.compare(page, ['| `a.py` |  |  | cannot: x |'], full_mmcv=True) == ['| `a.py` |  |  | cannot: x |']
    assert sweep.compare(page, ['| `c.py` | 0 | 8 | as is |'], full_mmcv=True) == ['| `c.py` | 0 | 8 | as is |']


@pytest.mark.skipif(mmcv_full_available(), reason='full mmcv is installed')
def test_without_full_mmcv_it_says_so(capsys):
    assert sweep.main(['--check', '--full-mmcv']) == 0
    assert capsys.readouterr().out.startswith('Skipped, because mmcv-lite')


def test_a_page_is_written_about_all(capsys):
    with pytest.raises(SystemExit):
        sweep.main(['--write', '--only', 'upernet'])
    assert '--write' in capsys.readouterr().err


def test_a_backbone_that_learns_nothing_is_told(tmp_path, monkeypatch):
    """A level that is computed and read by nothing would be such a one."""
    (stock,) = (stock for stock in all_configs() if stock.name.endswith('/pspnet_r50-d8.py'))
    wasteful = stock.__class__(stock.name, (('out_indices', (0, 1, 1, 1)),))
    torch.manual_seed(0)
    with pytest.raises(RuntimeError, match='gradient'):
        sweep.try_config(wasteful, write_arch(tmp_path / 'arch'))
