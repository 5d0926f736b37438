"""What the exported modules compute is what the models predict; nothing is exported here."""

import pytest
import tiny_depth
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmseg.models import FCNHead

from mmdiffperc.export import find_part
from mmdiffperc.models.prompts.base_prompts import SENTENCE


@pytest.fixture
def build(tiny_vpd):
    def build(**changes):
        cfg = Config.fromfile(tiny_vpd)
        cfg.merge_from_dict(changes)
        init_default_scope('mmseg')
        return MODELS.build(cfg.model).eval()

    return build


def test_segmentor(build):
    model = build()
    part = find_part(model, 'model')
    assert list(part.inputs) == ['image'] and part.size == (64, 64) and (part.stride, part.coarsest) == (8, 64)
    (image,) = part.examples(2, (64, 80))
    expected = model.whole_inference(image, [dict(img_shape=(64, 80), ori_shape=(64, 80))] * 2)
    torch.testing.assert_close(part.module(image), expected)  # although other layers enlarge the features
    assert list(part.outputs) == ['logits'] and '3 classes' in part.outputs['logits']


def test_parts_are_listed(build):
    with pytest.raises(ValueError, match="no part 'head'.*model or backbone"):
        find_part(build(), 'head')


def test_random_noise_is_refused(build):
    model = build()
    model.backbone.noise.kind = 'random'
    for part in ('model', 'backbone'):
        with pytest.raises(ValueError, match="backbone.noise='random'"):
            find_part(model, part)


def test_depth_with_scenes(tmp_path):
    cfg = Config.fromfile(tiny_depth.write_config(tmp_path))
    cfg.model.backbone.prompts = dict(type='ScenePrompts', classes=['kitchen', 'study'])
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model).eval()
    part = find_part(model, 'model')
    assert list(part.inputs) == ['image', 'category_ids'] and list(part.outputs) == ['depth']
    image, _ = part.examples(3, (64, 96))
    metas = [dict(img_shape=(64, 96), category_id=index) for index in (1, -1, 0)]
    torch.testing.assert_close(part.module(image, torch.tensor([1, -1, 0])), model.encode_decode(image, metas))
    assert 'kitchen' in part.inputs['category_ids'].meaning


def test_referring_segmentor_takes_the_states_of_a_sentence(build):
    model = build(
        **{
            'model.type': 'ReferringSegmentor',
            'model.backbone.prompts': dict(type='TextPrompts', max_length=6, _delete_=True),
            'model.neck.in_channels': [8, 16 + 6, 24 + 6, 40],
        }
    )
    encoder = model.backbone.prompts.text_encoder
    encoder.note_weights()
    part, of_text = find_part(model, 'model'), find_part(model, 'text-encoder')
    image, states = part.examples(1, (64, 64))
    assert states.shape == (1, 6, 12) and model.backbone.prompts.condition == SENTENCE
    (tokenizer,) = encoder.tokenizers.values()
    tokens = torch.tensor([encoder._tokenize('a red box', tokenizer)])
    states = of_text.module(tokens)
    expected = model.encode_decode(image, [dict(img_shape=(64, 64), text='a red box')])
    torch.testing.assert_close(part.module(image, states), expected)


def test_a_head_without_enlarged_features(build):
    head = dict(type=FCNHead, in_channels=16, channels=8, num_classes=2, in_index=0, norm_cfg=dict(type='BN'))
    model = build(**{'model.decode_head': dict(head, _delete_=True)})
    part = find_part(model, 'model')
    assert part.module(*part.examples(1, (64, 70))).shape == (1, 2, 64, 70)
