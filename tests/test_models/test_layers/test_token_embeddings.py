import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder
from mmdiffperc.models.layers.token_embeddings import TokenEmbeddings, read_vectors

SENTENCE = 'a dark <night> photo of a sphere'
WIDTH = 96  # of tiny-sd


@pytest.fixture
def vectors():
    return torch.randn(3, WIDTH)


@pytest.fixture
def file(tmp_path, vectors):
    torch.save({'<night>': vectors[0]}, tmp_path / 'learned_embeds.bin')
    return tmp_path / 'learned_embeds.bin'


def encoder(**arguments):
    encoder = SentenceEncoder('tiny-sd', 20, **arguments)
    encoder.load('tiny-sd')
    return encoder


def test_rows_of_the_table_and_added_rows():
    table = nn.Embedding(5, 4)
    extended = TokenEmbeddings(table, {'<a>': 'x', '<b>': dict(file='y', num_vectors=2)})
    extended.added.copy_(torch.arange(12.0).reshape(3, 4))
    embedded = extended(torch.tensor([[0, 4, 5, 7]]))
    torch.testing.assert_close(embedded[0, :2], table.weight[[0, 4]])
    assert embedded[0, 2:].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert extended.weight is table.weight and extended.all_names == ['<a>', '<b>', '<b>_1']
    assert extended.expand('<b> of <a>') == '<b> <b>_1 of <a>'


@pytest.mark.parametrize('form', ['diffusers', 'flat', 'safetensors', 'web ui', 'another name'])
def test_formats(tmp_path, vectors, form):
    path = tmp_path / ('a.safetensors' if form == 'safetensors' else 'a.bin')
    content = {
        'diffusers': {'<night>': vectors},
        'flat': {'<night>': vectors[0], '<other>': vectors[1]},
        'safetensors': {'<night>': vectors},
        'web ui': {'string_to_param': {'*': vectors}, 'name': 'night'},
        'another name': {'<dark>': vectors},
    }[form]
    save_file(content, path) if form == 'safetensors' else torch.save(content, path)
    torch.testing.assert_close(read_vectors(path, '<night>'), vectors[:1] if form == 'flat' else vectors)


def test_sentence_with_a_new_token(file, vectors):
    """It is what the text encoder makes of that vector; sentences without it stay what they were."""
    extended, plain = encoder(new_tokens={'<night>': file}), encoder()
    torch.testing.assert_close(extended(['a sphere']), plain(['a sphere']), rtol=0, atol=0)
    ids = extended._tokenize(SENTENCE, extended.tokenizers['text_encoder'])
    known = plain._tokenize(SENTENCE.replace('<night>', 'box'), plain.tokenizers['text_encoder'])
    position = next(index for index, (one, other) in enumerate(zip(ids, known, strict=True)) if one != other)
    assert ids[position] == len(plain.clip.get_input_embeddings().weight)
    with torch.no_grad():
        plain.clip.get_input_embeddings().weight[known[position]] = vectors[0]
    encoded, expected = extended.encode([SENTENCE]), plain.encode([SENTENCE.replace('<night>', 'box')])
    torch.testing.assert_close(encoded.states, expected.states)
    torch.testing.assert_close(encoded.summary, expected.summary)


def test_token_of_several_vectors(tmp_path, vectors):
    torch.save({'<sks>': vectors}, tmp_path / 'a.bin')
    extended = encoder(new_tokens={'<sks>': dict(file=tmp_path / 'a.bin', num_vectors=3)})
    first = len(extended.clip.get_input_embeddings().weight)
    ids = extended._tokenize('a <sks> style', extended.tokenizers['text_encoder'])
    assert [index for index in ids if index >= first] == [first, first + 1, first + 2]
    torch.testing.assert_close(extended.token_embeddings.added, vectors)


def test_checkpoints_hold_the_vectors(file):
    saved = encoder(new_tokens={'<night>': file})
    other = SentenceEncoder('tiny-sd', 20, new_tokens={'<night>': 'nothing.bin'})
    other.load_state_dict(saved.state_dict())
    torch.testing.assert_close(other([SENTENCE]), saved([SENTENCE]))


def test_tokens_that_only_the_test_has(file, vectors):
    """A checkpoint of a model without them gets their vectors from the files."""
    extended = SentenceEncoder('tiny-sd', 20, new_tokens={'<night>': file})
    extended.load_state_dict(encoder().state_dict())
    torch.testing.assert_close(extended.token_embeddings.added, vectors[:1])
    assert extended([SENTENCE]).isfinite().all()


def test_nothing_trains(file):
    assert not any(weight.requires_grad for weight in encoder(new_tokens={'<night>': file}).parameters())


@pytest.mark.parametrize(
    ('content', 'match'),
    [
        ({'<a>': torch.zeros(1, 5)}, 'width 96.*width 5'),
        ({'<a>': torch.zeros(2, WIDTH)}, '1 vectors.*got 2'),
        ({'<b>': torch.zeros(WIDTH), '<c>': torch.zeros(WIDTH)}, "'<b>' and|'<b>', '<c>'"),
        ({'<a>': torch.zeros(1, 1, WIDTH)}, "'<a>'"),
        (torch.zeros(WIDTH), "'<a>'"),
    ],
)
def test_wrong_file(tmp_path, content, match):
    torch.save(content, tmp_path / 'a.bin')
    with pytest.raises(ValueError, match=match):
        encoder(new_tokens={'<a>': tmp_path / 'a.bin'})


def test_missing_file():
    with pytest.raises(FileNotFoundError, match="nothing.bin.*'<a>'"):
        encoder(new_tokens={'<a>': 'nothing.bin'})


@pytest.mark.parametrize(
    'tokens', [{}, {'a b': 'x'}, {'<a>': 3}, {'<a>': dict(num_vectors=2)}, {'<a>': dict(file='x', num_vectors=0)}]
)
def test_wrong_tokens(tokens):
    with pytest.raises(ValueError, match='new_tokens'):
        SentenceEncoder('tiny-sd', 20, new_tokens=tokens)


def test_word_of_the_vocabulary():
    with pytest.raises(ValueError, match='endoftext'):
        SentenceEncoder('tiny-sd', 20, new_tokens={'<|endoftext|>': 'x'})


def test_not_for_sdxl(archs):
    with pytest.raises(ValueError, match='SDXL'):
        SentenceEncoder(archs['sdxl'], 20, new_tokens={'<a>': 'x'})
