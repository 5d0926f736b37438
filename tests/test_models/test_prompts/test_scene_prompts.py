import logging

import pytest
import torch
from logs import heard
from mmengine.registry import init_default_scope

from mmdiffperc.models import ScenePrompts
from mmdiffperc.models.layers import SentenceEncoder

SCENES = ['living_room', 'cafe', 'office']


@pytest.fixture
def prompts():
    return ScenePrompts(SCENES, embed_dims=8, adapter=dict(type='TextAdapter', gamma=0.5))


@pytest.fixture
def warnings(caplog):
    """What is printed to mmengine's logger at level WARNING."""
    with heard(caplog):
        yield lambda: [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_the_scenes_of_nyu_are_in_the_official_order():
    """That of nyu_class_list.json, and so of the rows of the official embeddings."""
    init_default_scope('mmseg')
    assert ScenePrompts('NYUDataset', embed_dims=4).classes == (
        'printer_room', 'bathroom', 'living_room', 'study', 'conference_room', 'study_room', 'kitchen', 'home_office',
        'bedroom', 'dinette', 'playroom', 'indoor_balcony', 'laundry_room', 'basement', 'excercise_room', 'foyer',
        'home_storage', 'cafe', 'furniture_store', 'office_kitchen', 'student_lounge', 'dining_room', 'reception_room',
        'computer_lab', 'classroom', 'office', 'bookstore',
    )  # fmt: skip


@pytest.mark.parametrize('ids', [[2, 0], torch.tensor([2, 0])])
def test_one_prompt_for_each_image(prompts, ids):
    embeds = prompts(2, ids)
    assert embeds.shape == (2, prompts.num_prompts, 8) == (2, 1, 8)
    torch.testing.assert_close(embeds[0, 0], prompts.adapter(prompts.embeddings[2]))
    torch.testing.assert_close(embeds[1, 0], prompts.adapter(prompts.embeddings[0]))


def test_the_mean_for_an_unknown_scene(prompts):
    mean = prompts.adapter(prompts.embeddings.mean(0))
    embeds = prompts(3, torch.tensor([1, -1, 1]))
    torch.testing.assert_close(embeds[1, 0], mean)
    torch.testing.assert_close(embeds[2, 0], prompts.adapter(prompts.embeddings[1]))
    torch.testing.assert_close(prompts(2), mean.expand(2, 1, 8))


def test_an_unknown_scene_is_reported_once(prompts, warnings):
    prompts(1)
    prompts(2, [0, 1])
    assert not warnings()
    for _ in range(2):
        prompts(2, [0, -1])
    (message,) = warnings()
    assert 'living_room_0001.jpg' in message and 'cafe, office' in message


@pytest.mark.parametrize('ids', [[0, 3], [-2, 0]])
def test_a_scene_that_does_not_exist(prompts, ids):
    with pytest.raises(ValueError, match=r'0.*2.*-1'):
        prompts(2, torch.tensor(ids))


def test_names_are_read_without_underscores(arch):
    torch.manual_seed(5)
    encoder = SentenceEncoder(arch, 20)
    encoder.note_weights()
    prompts = ScenePrompts(SCENES, embed_dims=12, templates=['a {}.'])
    prompts.encode(encoder)
    torch.testing.assert_close(prompts.embeddings[:1], encoder.encode(['a living room.']).summary)


@pytest.mark.parametrize('with_mean', [False, True])
def test_embeddings_of_a_file(tmp_path, with_mean):
    """The official file has a row for every scene; mmseg adds their mean."""
    embeddings = torch.randn(3, 8)
    rows = torch.cat([embeddings, embeddings.mean(0, keepdim=True)]) if with_mean else embeddings
    torch.save(rows, tmp_path / 'nyu_class_embeddings.pth')
    prompts = ScenePrompts(SCENES, embed_dims=8, embeddings=str(tmp_path / 'nyu_class_embeddings.pth'))
    prompts.init_embeddings('no arch', 'no checkpoint')
    torch.testing.assert_close(prompts.embeddings, embeddings, rtol=0, atol=0)


@pytest.mark.parametrize('content', [torch.eye(4, 8), torch.zeros(5, 8), torch.zeros(3, 9), {'a': 1}])
def test_a_file_of_other_scenes(tmp_path, content):
    torch.save(content, tmp_path / 'other.pth')
    prompts = ScenePrompts(SCENES, embed_dims=8, embeddings=str(tmp_path / 'other.pth'))
    with pytest.raises(ValueError, match=r'\(3, 8\).*3.*classes'):
        prompts.init_embeddings('no arch', 'no checkpoint')


def test_pooled_embeddings_of_sdxl():
    prompts = ScenePrompts(SCENES, embed_dims=32, pooled_dims=14)
    mean = prompts.pooled_embeddings.mean(0)
    torch.testing.assert_close(
        prompts.embed_pooled(2, torch.tensor([2, -1])), torch.stack([prompts.pooled_embeddings[2], mean])
    )
    torch.testing.assert_close(prompts.embed_pooled(2), mean.expand(2, 14))
    empty = ScenePrompts(SCENES, embed_dims=32, pooled_dims=14, pooled='empty')
    torch.testing.assert_close(empty.embed_pooled(2, [2, 0]), empty.pooled_embeddings.expand(2, 14))
