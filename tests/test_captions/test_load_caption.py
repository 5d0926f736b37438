import pickle

import pytest

from mmdiffperc.captions import LoadCaption
from mmdiffperc.captions.caption_file import encode_captions, encode_lines


def test_caption_of_the_folder(tmp_path):
    (tmp_path / 'metadata.jsonl').write_text(encode_lines({'a.png': 'a room', 'b.png': 'a street'}))
    results = LoadCaption()(dict(img_path=str(tmp_path / 'b.png'), img=3))
    assert results == dict(img_path=str(tmp_path / 'b.png'), img=3, text='a street')


def test_template_names_a_style(tmp_path):
    file = tmp_path / 'captions.json'
    file.write_text(encode_captions({'b': 'street with {braces}'}))
    load = pickle.loads(pickle.dumps(LoadCaption(ann_file=file, template='a dark night photo of a {}')))
    assert load(dict(img_path='x/b.jpg'))['text'] == 'a dark night photo of a street with {braces}'


def test_text_of_an_image_of_ones_own():
    load = LoadCaption(ann_file='nothing.json', template='a comic of {}')
    assert load(dict(text='two dogs', img=3))['text'] == 'a comic of two dogs'


@pytest.mark.parametrize('caption', ['', 'a room'])
def test_one_caption_for_all(caption):
    assert LoadCaption(caption=caption)(dict(img_path='x.png'))['text'] == caption


def test_image_without_path_and_text():
    with pytest.raises(ValueError, match='text'):
        LoadCaption()(dict(img=3))


def test_file_and_caption():
    with pytest.raises(ValueError, match="ann_file='a.json'.*caption=''"):
        LoadCaption(ann_file='a.json', caption='')


def test_image_that_the_file_lacks(tmp_path):
    (tmp_path / 'c.json').write_text(encode_captions({'a': 'x'}))
    with pytest.raises(ValueError, match=r'c\.json.*street\.png'):
        LoadCaption(ann_file=tmp_path / 'c.json')(dict(img_path='street.png'))
