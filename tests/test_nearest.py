import pytest

from mmdiffperc.nearest import check_listed, nearest_path, what_is_there


@pytest.fixture
def folder(tmp_path):
    for name in ('images/a.png', 'images/kitchen/b.JPG', 'images/train.txt', 'labels/a_mask.png'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ('suffix', 'nearest'),
    [('.PNG', '.png'), ('.jpg', '.JPG'), ('jpg', '.JPG'), ('_mask.png', '.png'), ('_photo.jpg', '.JPG')],
)
def test_nearest_suffix(folder, suffix, nearest):
    assert what_is_there(str(folder / 'images'), suffix).endswith(f' {nearest!r}?')


def test_suffix_that_is_there(folder):
    assert what_is_there(str(folder / 'labels'), '_mask.png').endswith("such as 'a_mask.png'")
    assert what_is_there(str(folder / 'images'), '.png').endswith("such as 'a.png'")


@pytest.mark.parametrize(
    ('path', 'there'),
    [
        ('image', "Did you mean 'images'?"),
        ('Labels/', "Did you mean 'labels'?"),
        ('zebra', "holds 'images', 'labels'"),
        ('images/trian.txt', "Did you mean 'train.txt'?"),
        ('nowhere/images', ''),
        ('labels/train', ''),
    ],
)
def test_nearest_path(folder, path, there):
    found = nearest_path(f'{folder}/{path}')
    assert found.endswith(there) and bool(found) == bool(there)


@pytest.mark.parametrize(
    ('name', 'suffix', 'hint'),
    [
        ('a.png.png', '.png', r"already.*'\.png'"),
        ('a.JPG.png', '.png', r"already.*'\.JPG'"),
        ('a..png', '.png', 'img_suffix'),
        ('.png', '.png', 'ann_file.*empty'),
        ('apng', 'png', "'.png'"),
    ],
)
def test_slips_of_suffixes(folder, name, suffix, hint):
    with pytest.raises(FileNotFoundError, match=hint):
        check_listed([f'{folder}/images/{name}'], f'{folder}/images', 'img_suffix', suffix)


def test_files_of_a_list_of_whole_names(folder):
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*\b1\b.*images/b\.png.*'\.JPG'") as caught:
        check_listed([f'{folder}/images/b.png'], f'{folder}/images', 'img_suffix', '.jpg')
    assert 'ann_file' not in str(caught.value) and 'img_suffix' not in str(caught.value)


def test_empty_files(folder):
    (folder / 'labels/a.png').write_bytes(b'0')
    files = [f'{folder}/{name}' for name in ('labels/a.png', 'images/a.png', 'labels/a_mask.png')]
    with pytest.raises(ValueError, match=r'images/a\.png.*empty.*\b2\b.*\b3\b'):
        check_listed(files, str(folder), 'img_suffix', '.png')
