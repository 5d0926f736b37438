import pytest
import torch

from mmdiffperc.models import DiffusionUNet, SharedTextPrompts
from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder


def states_of(text, max_length):
    encoder = SentenceEncoder('tiny-sd', max_length)
    encoder.load('tiny-sd')
    return encoder([text])[0]


@pytest.mark.parametrize(('text', 'max_length'), [('', 2), ('the red sphere', 9)])
def test_hidden_states_of_one_sentence(text, max_length):
    prompts = SharedTextPrompts('tiny-sd', embed_dims=96, text=text, max_length=max_length)
    prompts.init_embeddings('tiny-sd', 'tiny-sd')
    embeds = prompts(3)
    assert embeds.shape == (3, prompts.num_prompts, 96) == (3, max_length, 96)
    torch.testing.assert_close(embeds, states_of(text, max_length).expand(3, -1, -1))


def test_a_checkpoint_holds_them(arch):
    def build():
        return DiffusionUNet(arch, prompts=dict(type='SharedTextPrompts', adapter=dict(type='TextAdapter')))

    trained, tested = build(), build()
    assert not any('text_encoder' in name for name in trained.state_dict())
    tested.load_state_dict(trained.state_dict())
    torch.testing.assert_close(tested.prompts(2), trained.prompts(2))


@pytest.mark.parametrize(
    'wrap',
    [
        lambda states: states,
        lambda states: states[None],
        lambda states: dict(aggregated=states[None], a=dict(caption=['a'])),
    ],
)
def test_ready_states(tmp_path, wrap):
    """As a matrix, with a batch axis, and in a file of EVP's captions."""
    states = torch.randn(4, 12)
    torch.save(wrap(states), tmp_path / 'states.pth')
    prompts = SharedTextPrompts('sd1-5', embed_dims=12, max_length=4, embeddings=str(tmp_path / 'states.pth'))
    assert not prompts.needs_text_encoder
    prompts.init_embeddings()
    assert torch.equal(prompts(2)[1], states)


@pytest.mark.parametrize(
    ('content', 'words'),
    [
        (torch.zeros(4, 11), r'\(4, 12\).*\(4, 11\)'),
        (dict(a=1), r'\(4, 12\).*aggregated'),
        (torch.full((4, 12), float('nan')), 'finite'),
        (torch.ones(4, 12, dtype=torch.int), 'real'),
    ],
)
def test_a_file_of_something_else(tmp_path, content, words):
    torch.save(content, tmp_path / 'states.pth')
    prompts = SharedTextPrompts('sd1-5', embed_dims=12, max_length=4, embeddings=str(tmp_path / 'states.pth'))
    with pytest.raises(ValueError, match=f'states.pth.*{words}'):
        prompts.init_embeddings()


def test_a_checkpoint_without_them():
    """They are then computed from the source that the config names."""

    def build(**arguments):
        return DiffusionUNet('tiny-sd', prompts=dict(type='SharedTextPrompts', **arguments))

    weights = {name: weight for name, weight in build().state_dict().items() if 'prompts' not in name}
    backbone = build(checkpoint='tiny-sd')
    backbone.load_state_dict(weights)
    torch.testing.assert_close(backbone.prompts(1)[0], states_of('', 2))
    with pytest.raises(RuntimeError, match=r'prompts\.embeddings.*|.*model\.backbone\.prompts\.checkpoint'):
        build().load_state_dict(weights)
    with pytest.raises(RuntimeError, match=r"prompts\.checkpoint='/nowhere'"):
        build(checkpoint='/nowhere').load_state_dict(weights)


def test_pooled_embedding_of_sdxl(archs):
    backbone = DiffusionUNet(archs['sdxl'], prompts=dict(type='SharedTextPrompts', max_length=5))
    assert backbone.prompts.embed_pooled(3).shape == (3, 14)
    assert len(backbone(torch.zeros(1, 3, 64, 64))) == 3


@pytest.mark.parametrize(
    ('arguments', 'words'),
    [
        (dict(text='a', embeddings='x.pth'), "text='a'"),
        (dict(pooled_dims=8, embeddings='x.pth'), 'SDXL'),
        (dict(max_length=1), 'max_length'),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        SharedTextPrompts('sd1-5', embed_dims=12, **arguments)
