import pytest
from mmengine.structures import BaseDataElement

from mmdiffperc.generative.captions import captions_of, clean_captions, read_captions


def sample(**metainfo):
    return BaseDataElement(metainfo=metainfo)


def test_captions_of_data_samples():
    assert captions_of([sample(text='a red box'), sample(text='two cones')]) == ['a red box', 'two cones']
    assert captions_of(None) == captions_of([]) == []


def test_a_data_sample_without_a_caption_is_named():
    with pytest.raises(ValueError, match=r'a\.png.*`text`'):
        captions_of([sample(text='a red box'), sample(img_path='a.png')])


def test_captions_are_cleaned():
    assert clean_captions(['  a box &amp; a cone\n', 'ｔｗｏ boxes'], 2) == ['a box & a cone', 'two boxes']


@pytest.mark.parametrize(('captions', 'found'), [(None, '0'), (['a box'], '1'), ('a box', 'one string')])
def test_one_caption_for_each_image(captions, found):
    with pytest.raises(ValueError, match=f'2.*{found}.*use_prompts=False'):
        clean_captions(captions, 2)


@pytest.mark.parametrize(('caption', 'error'), [('', ValueError), ('赤い箱', ValueError), (7, TypeError)])
def test_a_caption_that_nobody_can_read(caption, error):
    with pytest.raises(error):
        clean_captions(['a box', caption], 2)


def test_captions_of_text_and_of_jsonl(tmp_path):
    (tmp_path / 'a.txt').write_text('a box\n two boxes \n\n')
    (tmp_path / 'a.jsonl').write_text('{"text": "a box", "keyword": "box"}\n')
    assert read_captions(tmp_path / 'a.txt') == ['a box', 'two boxes']
    assert read_captions(tmp_path / 'a.jsonl') == ['a box']
    for content in ('', 'a box', '{}', '{"text": 3}'):
        (tmp_path / 'bad.jsonl').write_text(content)
        with pytest.raises(ValueError, match=r'bad\.jsonl'):
            read_captions(tmp_path / 'bad.jsonl')


@pytest.mark.parametrize(('content', 'line'), [('\na box\n', 1), ('a box\n \ntwo boxes\n', 2)])
def test_blank_line_between_captions(tmp_path, content, line):
    """Without it, all further captions would belong to other images."""
    (tmp_path / 'a.txt').write_text(content)
    with pytest.raises(ValueError, match=rf'a\.txt.*line {line}'):
        read_captions(tmp_path / 'a.txt')


def test_captions_with_a_byte_order_mark(tmp_path):
    (tmp_path / 'a.txt').write_text('a box\n', encoding='utf-8-sig')
    (tmp_path / 'a.jsonl').write_text('{"text": "a box"}\n', encoding='utf-8-sig')
    for name in ('a.txt', 'a.jsonl'):
        assert read_captions(tmp_path / name) == ['a box']


@pytest.mark.parametrize('content', [b'\xff\xfe', b'[' * 100_000, b'{"text": ' + b'[' * 400 + b']' * 400 + b'}'])
def test_captions_that_cannot_be_read(tmp_path, content):
    (tmp_path / 'bad.jsonl').write_bytes(content)
    with pytest.raises(ValueError, match=r'bad\.jsonl') as error:
        read_captions(tmp_path / 'bad.jsonl')
    assert len(str(error.value)) < 500
