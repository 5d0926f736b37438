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
        (None, 2, TypeError, '2.*None'),
        ('the box', 1, TypeError, r"\b1\b.*'the box'"),
        (['a', 'b'], 3, ValueError, '3.*2'),
        ([], 1, ValueError, '1.*0'),
        ([['a', 'b']], 1, TypeError, r"\['a', 'b'\]"),
        ([None], 1, TypeError, 'NoneType'),
        (['a', ' \t'], 2, ValueError, 'empty'),
        (['&nbsp;'], 1, ValueError, 'empty'),
        (['\u200b'], 1, ValueError, 'empty'),
        (['&#8203; \x00'], 1, ValueError, 'empty'),
        (['红色的球'], 1, ValueError, "'红色的球'.*Latin"),
        (['красный шар 2'], 1, ValueError, "'красный шар 2'.*Latin"),
    ],
)
def test_bad_sentences(sentences, batch_size, error, message):
    with pytest.raises(error, match=message):
        check_sentences(sentences, batch_size)
