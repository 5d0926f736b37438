import cv2
import pytest

from mmdiffperc.inference.videos import count_frames, frames_per_second, read_video, video_writer


def test_read(video, frames):
    assert count_frames(video) == 3 and frames_per_second(video) == 5
    for pixels, frame in zip(read_video(video), frames, strict=True):
        assert abs(pixels.astype(int) - frame).mean() < 5  # Motion JPEG loses a little


def test_what_is_no_video(tmp_path):
    (tmp_path / 'bad.mp4').write_bytes(b'no video')
    assert count_frames(tmp_path / 'bad.mp4') == 0
    with pytest.raises(ValueError, match='bad.mp4'):
        next(read_video(tmp_path / 'bad.mp4'))
    with pytest.raises(FileNotFoundError, match='absent.mp4'):
        next(read_video(tmp_path / 'absent.mp4'))


def test_write(frames, tmp_path):
    path = tmp_path / 'folder' / 'walk.mp4'
    with video_writer(path, 5) as write:
        for frame in frames:
            write(frame[..., ::-1])
        assert not path.exists()
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 5
    for frame in frames:
        assert abs(capture.read()[1].astype(int) - frame).mean() < 5
    assert not capture.read()[0]


def test_video_that_fails_leaves_nothing(frames, tmp_path):
    with pytest.raises(ValueError, match='stop'), video_writer(tmp_path / 'walk.mp4', 5) as write:
        write(frames[0])
        raise ValueError('stop')
    assert not list(tmp_path.iterdir())
