import json

import probe_taps
import pytest
import torch
from measuring import tap_probing

from mmdiffperc.toy_scenes import TOY_CLASSES


def run(folder, out, *options):
    return probe_taps.main(
        [str(folder / 'ade'), '--num-train', '4', '--num-val', '3', '--device', 'cpu', '--out-file', str(out), *options]
    )


def test_only_missing_entries_are_computed(toy_root, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('mmdiffperc.progress.DELAY', 0)
    out = tmp_path / 'probe.json'
    assert run(toy_root, out, '--taps', 'mid_block') == 0
    content = json.loads(out.read_text())
    place = content['results']['mid_block at 1']
    assert (place['tap'], place['timestep'], place['stride'], place['channels']) == ('mid_block', 1, 64, 128)
    assert 0 <= place['mIoU'] <= place['mAcc'] <= 100
    place['mIoU'] = -1.0
    out.write_text(json.dumps(content))
    keys = 'up_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k'
    options = ('--taps', 'mid_block', keys, '--timesteps', '1', '100')
    assert run(toy_root, out, *options) == 0
    results = json.loads(out.read_text())['results']
    assert list(results) == ['mid_block at 1', f'{keys} at 1', 'mid_block at 100', f'{keys} at 100']
    assert results['mid_block at 1']['mIoU'] == -1
    assert len({entry['mIoU'] for entry in results.values()}) == 4
    progress = capsys.readouterr().err
    assert 'features: 100%' in progress and 'classifier: 100%' in progress
    assert run(toy_root, out, *options) == 0 and not capsys.readouterr().out
    assert run(toy_root, out, *options, '--noise', 'fixed') == 1
    assert "'noise'" in capsys.readouterr().err


def test_default_taps_are_the_blocks():
    down, up = ([f'{side}_blocks.{index}' for index in range(4)] for side in ('down', 'up'))
    assert tap_probing.blocks_of('tiny-sd') == [*down, 'mid_block', *up]


def test_noisy_features_of_a_seed_are_those_of_the_seed(toy_root, tmp_path):
    found = []
    for number in range(2):
        assert run(toy_root, tmp_path / f'{number}.json', '--taps', 'mid_block', '--noise', 'random') == 0
        found.append(json.loads((tmp_path / f'{number}.json').read_text())['results'])
    assert found[0] == found[1]


def test_shares_of_a_cell():
    """The first cell holds classes 0 and 1 and a pixel that is not counted; in the second, nothing counts."""
    labels = torch.tensor([[[0, 0, 255, 255], [1, 255, 255, 255]]], dtype=torch.uint8)
    shares = tap_probing.class_shares(labels, (1, 2))
    assert shares.shape == (2, len(TOY_CLASSES))
    assert shares[0, :3].tolist() == [0.5, 0.25, 0] and shares[1].sum() == 0


def test_a_probe_finds_classes_that_are_separable():
    labels = torch.randint(3, (40, 2, 3), dtype=torch.uint8)
    features = (torch.eye(3) * 7 + 50)[labels.long()].permute(0, 3, 1, 2).half()  # one channel per class
    classifier = tap_probing.fit_classifier(features[:30], labels[:30], seed=0)
    measures = tap_probing.evaluate(classifier, features[30:], labels[30:])
    assert measures['mIoU'] == measures['aAcc'] == 100


def test_labels_of_scenes(toy_root):
    images, labels = tap_probing.read_scenes(toy_root / 'ade', 'validation', 3)
    assert images.shape == (3, 3, 48, 64) and images.dtype == labels.dtype == torch.uint8
    assert labels.shape == (3, 48, 64)
    assert set(labels.unique().tolist()) <= {*range(len(TOY_CLASSES)), tap_probing.NOTHING}


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--taps', 'mid_blok'], "did you mean 'mid_block'"),
        (['--num-train', '900'], 'expected 900 images, found 5'),
        (['--weights', '/nowhere'], '/nowhere'),
    ],
)
def test_errors_in_one_line(toy_root, tmp_path, capsys, options, message):
    assert run(toy_root, tmp_path / 'probe.json', *options) == 1
    assert message in capsys.readouterr().err and not (tmp_path / 'probe.json').exists()
