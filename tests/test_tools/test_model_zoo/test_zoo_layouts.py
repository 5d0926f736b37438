"""The pages agree with the metafiles; how a table and a section are written."""

from collections import Counter
from pathlib import Path

from marked_blocks import blocks, pages
from model_zoo.layouts import (
    KIND,
    LAYOUTS,
    RECIPE,
    checkpoints,
    headline,
    metric,
    number,
    published,
    results,
    rows,
    source,
    with_results,
    without_checkpoint,
    write_pages,
)
from model_zoo.metafiles import Model, read_models
from pages import ROOT
from write_model_zoo import main

PAGE = Path('docs/page.md')


def model(name, collection='VPD', **fields):
    entry = {'Name': name, 'Config': f'configs/vpd/{name}.py', 'Metadata': {}, 'In Collection': collection}
    return Model(entry | fields, {'Name': collection})


MODELS = {
    'a_ade': model(
        'a_ade',
        Metadata={'Training Data': 'ADE20K', 'Batch Size': '16', 'Iterations': '80000', 'Note': 'one'},
        Results=[{'Dataset': 'ADE20K', 'Metrics': {'mIoU': '50.0', 'mAcc': '60.10'}}],
        Source=['https://github.com/me/vpd', 'https://github.com/me/vpd/tree/main/refer#results'],
        Weights='https://example.org/a.pth',
        Convert=['convert WEIGHTS {name}.pth'],
        Test=['test {config}'],
    ),
    'b_ade': model('b_ade', **{'No Weights': 'ours'}),
    'c_ade': model('c_ade', **{'No Weights': 'ours'}),
    'd_ade': model('d_ade', **{'No Weights': 'theirs'}),
    'tiny-sd_ade': model('tiny-sd_ade', Metadata={'Training Data': 'toy scenes', 'Batch Size': '4', 'Epochs': '3'}),
    'e_nyu': model(
        'e_nyu', 'MetaPrompts', **{'Weights Page': 'https://example.org/e', 'No Results': 'never published'}
    ),
}


def test_a_table_by_hand():
    assert rows('a_ade|tiny.*', RECIPE | {'mIoU': published('mIoU'), 'mAcc': metric('mAcc')})(MODELS, PAGE) == (
        '\n| config | data | images per iteration | schedule | note | mIoU | mAcc |\n'
        '|---|---|---|---|---|---|---|\n'
        '| [a_ade](../configs/vpd/a_ade.py) | ADE20K | 16 | 80,000 iterations | one | 50.0 | 60.10 |\n'
        '| [tiny-sd_ade](../configs/vpd/tiny-sd_ade.py) | toy scenes | 4 | 3 epochs |  |  |  |\n'
    )


def test_cells():
    assert number('a_ade', 'mAcc')(MODELS, PAGE) == '60.10'
    assert [published('mIoU')(MODELS[name], PAGE) for name in ('a_ade', 'b_ade', 'tiny-sd_ade')] == ['50.0', 'none', '']
    assert metric('mIoU', 'Cityscapes')(MODELS['a_ade'], PAGE) == ''
    assert source(MODELS['a_ade'], PAGE) == (
        '[vpd](https://github.com/me/vpd), [vpd/refer](https://github.com/me/vpd/tree/main/refer#results)'
    )


def test_all_results_in_one_table():
    """Numbers for several data sets share the name of their metric, which all of them must have."""
    metrics = [('NYU', {'AbsRel(%)': '5.40', 'd1': '0.9'}), ('DIODE', {'AbsRel(%)': '30.3', 'mAcc': '1'})]
    several = model('f', Results=[{'Dataset': dataset, 'Metrics': each} for dataset, each in metrics])
    assert headline(several, PAGE) == 'AbsRel (%) 5.40, 30.3'
    assert results(MODELS, PAGE) == (
        '\n| method | benchmark | result | note | source |\n'
        '|---|---|---|---|---|\n'
        f'| [VPD](../configs/vpd/a_ade.py) | ADE20K | mIoU 50.0 | one | {source(MODELS["a_ade"], PAGE)} |\n'
    )


def test_sections_of_checkpoints():
    assert checkpoints('VPD', 'MetaPrompts')(MODELS, PAGE) == (
        '\n### a_ade\n\n'
        '- Config: [a_ade](../configs/vpd/a_ade.py)\n'
        '- Checkpoint: <https://example.org/a.pth>\n'
        '- Published results: ADE20K: mIoU 50.0, mAcc 60.10 '
        f'({source(MODELS["a_ade"], PAGE)})\n\n'
        '```bash\nconvert WEIGHTS a_ade.pth\ntest configs/vpd/a_ade.py\n```\n'
        '\n### e_nyu\n\n'
        '- Config: [e_nyu](../configs/vpd/e_nyu.py)\n'
        '- Checkpoint: <https://example.org/e>\n'
        '- Published results: none: never published\n\n'
        '```bash\n```\n'
    )


def test_reasons_are_grouped():
    lines = without_checkpoint(MODELS, PAGE).splitlines()
    assert lines[3:] == [
        '| [b_ade](../configs/vpd/b_ade.py), [c_ade](../configs/vpd/c_ade.py) | ours |',
        '| [d_ade](../configs/vpd/d_ade.py) | theirs |',
    ]


def test_pages_agree_with_the_metafiles(monkeypatch):
    monkeypatch.chdir(ROOT)
    models = read_models()
    found = Counter()
    for page in pages():
        text = page.read_text()
        assert with_results(page, models) == text, f'{page} is out of date: run tools/write_model_zoo.py'
        found.update(name for name, _ in blocks(KIND, text))
        assert text.count('<!-- published: ') == text.count('<!-- /published') == len(blocks(KIND, text))
    assert found == Counter([*LAYOUTS])


def test_the_zoo_lists_every_checkpoint(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = Path('docs/model_zoo.md').read_text()
    for name, entry in read_models().items():
        assert (f'\n### {name}\n' in text) == bool(entry.address)
        assert not entry.address or entry.address in text
        assert 'No Weights' not in entry or f'[{name}]' in text


def test_the_tool_writes_the_pages_that_have_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ('docs', 'configs'):
        Path(folder).mkdir()
    Path('model-index.yml').write_text('Import:\n- configs/metafile.yml\n')
    Path('configs/metafile.yml').write_text(
        'Collections:\n- Name: VPD\nModels:\n- Name: vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512\n  In Collection: VPD\n'
        '  Config: configs/a.py\n  Metadata: {}\n  Results:\n  - Dataset: ADE20K\n    Metrics: {mIoU: 53.70}\n'
    )
    text = 'of <!-- published: vpd-miou -->{}<!-- /published --> and <!-- measured: a -->2<!-- /measured -->'
    Path('docs/a.md').write_text(text.format('1'))
    Path('docs/b.md').write_text('nothing')
    assert not main([]) and capsys.readouterr().out == 'docs/a.md: written\n'
    assert Path('docs/a.md').read_text() == text.format('53.70')
    assert write_pages() == []
    Path('model-index.yml').unlink()
    assert main([]) == 1
