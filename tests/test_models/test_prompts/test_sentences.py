import re

import pytest

from mmdiffperc.models.prompts.sentences import check_sentences, clean


@pytest.mark.parametrize(
    ('typed', 'meant'),
    [
        (' the red box\n', 'the red box'),
        ('the cafÃ© sign', 'the café sign'),  # UTF-8 read as Latin-1
        ('salt &amp;amp; pepper', 'salt & pepper'),
        ('the \u201cred\u201d box', 'the "red" box'),
    ],
)
def test_clean(typed, meant):
    assert clean(typed) == meant


@pytest.mark.parametrize('sentence', ['the box', 'café', 'the 红 box', '12', '?!', 'x' * 5000, 'ｒｅｄ ｂｏｘ'])
def test_good_sentences(sentence):
    check_sentences([sentence, 'a box'], 2)


@pytest.mark.parametrize(
    ('sentences', 'batch_size', 'error', 'message'),
    [
        (None, 2, TypeError, 'Expected a list of sentences, one for each of 2 images, got None'),
        ('the box', 1, TypeError, "Expected a list of sentences, one for each of 1 images, got 'the box'"),
        (['a', 'b'], 3, ValueError, 'Expected 3 sentences, one for each image, got 2'),
        ([], 1, ValueError, 'Expected 1 sentences, one for each image, got 0'),
        ([['a', 'b']], 1, TypeError, "Expected one sentence for each image, a string, got list ['a', 'b']. Of several"),
        ([None], 1, TypeError, 'a string, got NoneType None'),
        (['a', ' \t'], 2, ValueError, 'A sentence is empty: say what to look for'),
        (['&nbsp;'], 1, ValueError, 'A sentence is empty'),
        (['\u200b'], 1, ValueError, 'A sentence is empty'),
        (['&#8203; \x00'], 1, ValueError, 'A sentence is empty'),
        (['红色的球'], 1, ValueError, "'红色的球' has no Latin letter; the text encoder knows English"),
        (['красный шар 2'], 1, ValueError, "'красный шар 2' has no Latin letter"),
    ],
)
def test_bad_sentences(sentences, batch_size, error, message):
    with pytest.raises(error, match=re.escape(message)):
        check_sentences(sentences, batch_size)
