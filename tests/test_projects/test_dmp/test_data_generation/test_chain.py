import json
from importlib import import_module

import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, init_default_scope

from mmdiffperc.generative import DeterministicDiffusion


def test_from_keywords_to_a_loss(tmp_path, language_model, marigold_folder):
    """All that is needed to train, made of two words."""
    (tmp_path / 'keywords.txt').write_text('bedroom\nbeach\n')
    captions, images, normals, packed = (str(tmp_path / name) for name in ('c.jsonl', 'images', 'normals', 'packed'))
    common = ['--device', 'cpu', '--batch-size', '2']
    sd = ['--model', 'tiny-sd', '--num-steps', '1', '--size', '32', '48']
    for name, arguments in (
        (
            'make_captions',
            [str(tmp_path / 'keywords.txt'), '--out-file', captions, '--model', str(language_model), *common],
        ),
        ('make_images', [captions, '--out', images, *sd, *common]),
        (
            'make_targets',
            [images, '--out', normals, '--kind', 'normals', '--model', marigold_folder('normals'), *common],
        ),
        ('pack_lmdb', [images, '--targets', normals, '--out', packed]),
    ):
        assert import_module(name).main(arguments) == 0

    init_default_scope('mmseg')
    import mmseg.datasets  # noqa: F401

    pipeline = [dict(type=name) for name in ('LoadImageFromFile', 'LoadTarget', 'PackTargetInputs')]
    prefix = dict(img_path=images, target_path=packed)
    dataset = DATASETS.build(dict(type='ImageTargetDataset', data_prefix=prefix, pipeline=pipeline))
    batch = pseudo_collate([dataset[0], dataset[1]])
    texts = [json.loads(line)['text'] for line in (tmp_path / 'c.jsonl').read_text().splitlines()]
    assert [sample.text for sample in batch['data_samples']] == texts
    model = DeterministicDiffusion('tiny-sd', init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'))
    model.init_weights()
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert torch.isfinite(losses['loss_latents'])
