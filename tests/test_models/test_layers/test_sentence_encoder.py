import copy
import logging
import re
from collections import OrderedDict

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from logs import heard
from mmengine.runner.checkpoint import load_state_dict
from torch import nn

from mmdiffperc.models.layers import SentenceEncoder
from mmdiffperc.models.layers.sentence_encoder import LONGEST, _end_of_text
from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer, build_unet, build_vae
from mmdiffperc.weights.loading import load_weights

LENGTH = 12


@pytest.fixture(scope='module')
def clip():
    """The text encoder of tiny-sd, trained."""
    clip = build_text_encoder('tiny-sd').eval()
    load_weights('tiny-sd', text_encoder=clip)
    return clip


@pytest.fixture
def encoder():
    encoder = SentenceEncoder('tiny-sd', LENGTH, cache_size=3)
    encoder.load('tiny-sd')
    return encoder


@pytest.fixture
def messages(caplog):
    """What is printed to mmengine's logger, by level."""
    with heard(caplog):
        yield lambda level: [record.getMessage() for record in caplog.records if record.levelno == level]


def hidden_states(clip, sentence):
    """Token by token: causal attention never looks ahead, so what comes later does not matter."""
    tokenizer = build_tokenizer('tiny-sd')
    inner = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(sentence))[: LENGTH - 2]
    ids = [tokenizer.bos_token_id, *inner, *[tokenizer.eos_token_id] * (LENGTH - 1 - len(inner))]
    states = [clip(torch.tensor([ids[: end + 1]])).last_hidden_state[0, -1] for end in range(LENGTH)]
    return torch.stack(states)


@pytest.mark.parametrize('sentence', ['the red sphere', 'a red sphere left of the blue box ' * 50])
def test_hidden_states_of_all_tokens(encoder, clip, sentence):
    states = encoder([sentence])
    assert states.shape == (1, LENGTH, 96) and not states.requires_grad
    torch.testing.assert_close(states[0], hidden_states(clip, sentence), rtol=1e-4, atol=1e-4)


def test_a_sentence_is_encoded_once(encoder):
    passes = []
    encoder.clip.register_forward_hook(lambda clip, args, kwargs, output: passes.append(len(args[0])), with_kwargs=True)
    first = encoder(['a box', 'a cone', 'a box'])
    again = encoder(['a cone', 'a box', 'a red cone'])
    assert passes == [2, 1]
    torch.testing.assert_close(first[[1, 0]], again[:2], rtol=0, atol=0)
    torch.testing.assert_close(first[0], first[2], rtol=0, atol=0)


def test_the_oldest_are_forgotten(encoder):
    encoder(['a', 'b', 'c', 'd', 'e'])
    assert [sentence for _, sentence in encoder._encoded] == ['c', 'd', 'e']
    assert not encoder.state_dict().keys() & {'_encoded'}


def test_new_weights_forget_what_the_old_ones_encoded(encoder):
    before = encoder(['a box'])
    other = {name: weight + 0.1 for name, weight in encoder.state_dict().items()}
    encoder.load_state_dict(other)
    assert not torch.allclose(encoder(['a box']), before, atol=1e-3)


def test_mixed_precision_is_not_remembered(encoder):
    with torch.autocast('cpu', torch.bfloat16):
        encoder(['a box'])
    assert encoder(['a box']).dtype == torch.float32


def test_frozen_and_in_evaluation_mode(encoder):
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_cutting_is_reported_once(encoder, messages):
    encoder(['the red sphere'])
    assert not messages(logging.WARNING)
    encoder(['word ' * 400])
    encoder(['other words ' * 200])
    (message,) = messages(logging.WARNING)
    assert re.search(r'\d{3,}.*\b12\b.*max_length', message)
    assert len(message) < 500


@pytest.mark.parametrize('length', [0, 1, 78])
def test_length_out_of_range(length):
    with pytest.raises(ValueError, match=f'max_length={length}'):
        SentenceEncoder('tiny-sd', length)


def test_nothing_is_loaded_in_a_forward_pass():
    with pytest.raises(RuntimeError, match='text encoder.*init_cfg'):
        SentenceEncoder('tiny-sd', LENGTH, checkpoint='tiny-sd')(['a box'])


class Model(nn.Module):
    """Whose checkpoint may hold the text encoder."""

    def __init__(self, **options):
        super().__init__()
        self.text_encoder = SentenceEncoder('tiny-sd', LENGTH, **options)
        self.head = nn.Linear(2, 3)


HEAD = {'head.weight': torch.ones(3, 2), 'head.bias': torch.ones(3)}
BOTH_LOADERS = pytest.mark.parametrize(
    'load', [nn.Module.load_state_dict, lambda model, state: load_state_dict(model, state, True)]
)


@BOTH_LOADERS
def test_checkpoint_without_a_text_encoder(clip, messages, load):
    """As converted official ones are: nothing is missing, and the weights come from elsewhere, which is logged."""
    model = Model(checkpoint='tiny-sd')
    load(model, OrderedDict(HEAD))
    assert (model.head.weight == 1).all()
    assert 'tiny-sd' in messages(logging.INFO)[-1]
    torch.testing.assert_close(model.text_encoder(['a box'])[0], hidden_states(clip, 'a box'), rtol=1e-4, atol=1e-4)


@BOTH_LOADERS
def test_checkpoint_without_a_text_encoder_that_is_there_already(encoder, messages, load):
    model = Model(checkpoint='/nowhere')
    model.text_encoder.load('tiny-sd')
    load(model, OrderedDict(HEAD))
    torch.testing.assert_close(model.text_encoder(['a box']), encoder(['a box']))
    assert not messages(logging.INFO)


@BOTH_LOADERS
def test_checkpoint_without_a_text_encoder_and_no_source(load):
    message = r'(\d+) .*\1 .*SentenceEncoder.*model\.backbone\.prompts\.checkpoint'
    with pytest.raises(RuntimeError, match=message):
        load(Model(), OrderedDict(HEAD))
    with pytest.raises(RuntimeError, match=r"prompts\.checkpoint='/nowhere'"):
        load(Model(checkpoint='/nowhere'), OrderedDict(HEAD))


def test_checkpoint_with_a_text_encoder_needs_nothing_else(encoder, clip):
    encoder(['a box'])
    other = SentenceEncoder('tiny-sd', LENGTH, checkpoint='/nowhere')
    other.load_state_dict(encoder.state_dict())
    torch.testing.assert_close(other(['a box'])[0], hidden_states(clip, 'a box'), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('is_init', [True, False])
def test_checkpoint_with_a_part_of_it(encoder, is_init):
    states = encoder.state_dict()
    states.pop('clip.final_layer_norm.weight')
    encoder.is_init = is_init
    with pytest.raises(RuntimeError, match=r'1.*clip\.final_layer'):
        encoder.load_state_dict(states)


def test_copies_keep_their_weights(encoder):
    torch.testing.assert_close(copy.deepcopy(encoder)(['a box']), encoder(['a box']))


# SDXL


@pytest.fixture(scope='module')
def sdxl(archs):
    """An encoder with the random weights of a pipeline, and the pipeline."""
    torch.manual_seed(7)
    pipeline = StableDiffusionXLPipeline(
        vae=build_vae(archs['sdxl']),
        unet=build_unet(archs['sdxl']),
        scheduler=None,
        text_encoder=build_text_encoder(archs['sdxl']).eval(),
        text_encoder_2=build_text_encoder(archs['sdxl'], 'text_encoder_2').eval(),
        tokenizer=build_tokenizer(archs['sdxl']),
        tokenizer_2=build_tokenizer(archs['sdxl'], part='text_encoder_2'),
        add_watermarker=False,
    )
    encoder = SentenceEncoder(archs['sdxl'], LONGEST, cache_size=3)
    for part, clip in encoder.encoders.items():
        clip.load_state_dict(getattr(pipeline, part).state_dict())
    encoder.note_weights()
    return encoder, pipeline


XL_SENTENCES = ['the red sphere', '', 'what a box!', 'a red sphere left of the blue box ' * 50]


def test_sdxl_encodes_as_the_pipeline_of_diffusers(sdxl):
    encoder, pipeline = sdxl
    encoded = encoder.encode(XL_SENTENCES)
    states, _, pooled, _ = pipeline.encode_prompt(XL_SENTENCES, do_classifier_free_guidance=False)
    torch.testing.assert_close(encoded.states, states)
    torch.testing.assert_close(encoded.pooled, pooled)
    assert encoded.states.shape == (4, 77, encoder.embed_dims) == (4, 77, 12 + 20)


def test_the_summary_of_sdxl_is_at_the_end_of_the_text(sdxl):
    encoder, _ = sdxl
    encoded = encoder.encode(XL_SENTENCES)
    ends = [4, 1, 5, 76]  # begin, words, end
    torch.testing.assert_close(encoded.summary, encoded.states[torch.arange(4), ends])


@pytest.mark.parametrize('eos_token_id', [2, 49407])
def test_configs_name_the_end_of_the_text_in_two_ways(eos_token_id):
    tokens = torch.tensor([[49406, 8, 49407, 49407], [49406, 49407, 0, 0]])  # padded as by either tokenizer
    assert _end_of_text(tokens, eos_token_id).tolist() == [2, 1]


def test_sdxl_remembers_everything(sdxl):
    encoder, _ = sdxl
    encoder.note_weights()
    first = encoder.encode(['a box', 'a cone'])
    encoder.clip_2.text_projection.weight.data.mul_(2)
    again = encoder.encode(['a box', 'a cone'])
    encoder.clip_2.text_projection.weight.data.div_(2)
    for ours, theirs in zip(first, again, strict=True):
        assert torch.equal(ours, theirs)


def test_checkpoints_of_sdxl_hold_both_text_encoders(sdxl):
    encoder, _ = sdxl
    weights = encoder.state_dict()
    assert {name.split('.')[0] for name in weights} == {'clip', 'clip_2'}
    weights.pop('clip_2.text_projection.weight')
    with pytest.raises(RuntimeError, match=r'1.*clip_2\.text_projection'):
        encoder.load_state_dict(weights)
