import pytest
from mmengine.registry import DATASETS

from mmdiffperc.generative import ListedTargetDataset
from mmdiffperc.generative.data.listed_targets import parse_split


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def build(folder, content, **options):
    (folder / 'split.txt').write_text(content)
    return ListedTargetDataset(ann_file='split.txt', data_root=str(folder), **options)


def test_images_targets_and_masks(tmp_path):
    write(tmp_path, 'a/1.png', 'a/1_depth.npy', 'a/1_mask.npy')
    dataset = build(tmp_path, '# scene a\na/1.png a/1_depth.npy a/1_mask.npy\n\n', has_masks=True)
    assert len(dataset) == 1
    info = dataset[0]
    assert info['img_path'] == str(tmp_path / 'a/1.png')
    assert (info['target_path'], info['target_key']) == (str(tmp_path), 'a/1_depth.npy')
    assert (info['mask_path'], info['mask_key']) == (str(tmp_path), 'a/1_mask.npy')


def test_folders_of_images_and_targets(tmp_path):
    write(tmp_path, 'raw/1.png', 'depth/1.png')
    prefix = dict(img_path='raw', target_path=str(tmp_path / 'depth'))
    (info,) = build(tmp_path, '/1.png /1.png 721.5377\n0.png None 721.5377', data_prefix=prefix)
    assert info['img_path'] == str(tmp_path / 'raw/1.png')
    assert (info['target_path'], info['target_key']) == (str(tmp_path / 'depth'), '1.png')
    assert 'mask_path' not in info


def test_a_list_elsewhere(tmp_path):
    write(tmp_path / 'data', 'a.png', 'b.png')
    (tmp_path / 'list.txt').write_text('a.png b.png')
    config = dict(type='ListedTargetDataset', data_root=str(tmp_path / 'data'), ann_file=str(tmp_path / 'list.txt'))
    assert len(DATASETS.build(config)) == 1


@pytest.mark.parametrize('absent', ['1.png', 'depth/1.png', 'mask/1.png', 'split.txt'])
def test_missing_files(tmp_path, absent):
    write(tmp_path, '1.png', 'depth/1.png', 'mask/1.png')
    content = '1.png depth/1.png mask/1.png'
    build(tmp_path, content, has_masks=True)
    (tmp_path / absent).unlink()
    with pytest.raises(FileNotFoundError, match=absent):
        ListedTargetDataset(ann_file='split.txt', data_root=str(tmp_path), has_masks=True)


def test_a_line_without_a_mask(tmp_path):
    write(tmp_path, 'a.png', 'b.png')
    with pytest.raises(ValueError, match="has_masks.*'a.png'"):
        build(tmp_path, 'a.png b.png', has_masks=True)


def test_a_misspelt_prefix(tmp_path):
    with pytest.raises(ValueError, match='img_path and target_path.*depth_path'):
        build(tmp_path, 'a.png b.png', data_prefix=dict(depth_path='depth'))


def test_lines():
    content = '\ufeff/a.png /b.png\n\n# none: 45 frames\nc.png None 721.5\n d.png  e.png 721.5\n'.encode()
    assert parse_split(content, 'split.txt') == [('a.png', 'b.png', None), ('d.png', 'e.png', '721.5')]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a.png b.png\nc.png', r"split\.txt, line 2.*'c\.png'"),
        (b'a.png b.png c.png d.png', r'split\.txt, line 1'),
        (b'a.png None 721.5', r'split\.txt'),
        (b'# nothing\n', r'split\.txt'),
        (b'a.png \xff', r'split\.txt'),
    ],
)
def test_bad_lists(content, message):
    with pytest.raises(ValueError, match=message):
        parse_split(content, 'split.txt')


@pytest.mark.parametrize('line', ['../a.png b.png', 'a.png c/../../b.png', 'a/.. b.png', f'a.png {"b" * 300}'])
def test_files_outside_of_the_folder(line):
    with pytest.raises(ValueError, match=r'list\.txt, line 2'):
        parse_split(f'a.png b.png\n{line}\n'.encode(), 'list.txt')


def test_message_of_a_long_line():
    with pytest.raises(ValueError, match=r'list\.txt, line 1') as error:
        parse_split(b'x' * 100_000, 'list.txt')
    assert len(str(error.value)) < 500
