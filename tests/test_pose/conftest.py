import json

import pytest
from mmpose.datasets.datasets import CocoDataset
from PIL import Image


@pytest.fixture
def load(tmp_path):
    """The data set of an image, 90 wide and 80 high, with these annotations."""
    Image.new('RGB', (90, 80)).save(tmp_path / '1.png')

    def load(*annotations, detections=None, file_name='1.png', size=(80, 90), pipeline=(), kind=CocoDataset):
        numbered = [dict(one, id=index, image_id=1) for index, one in enumerate(annotations, start=1)]
        images = [dict(id=1, file_name=file_name, width=size[1], height=size[0])]
        path = tmp_path / 'people.json'
        path.write_text(json.dumps(dict(images=images, annotations=numbered, categories=[dict(id=1, name='person')])))
        options = {}
        if detections is not None:
            found = [dict(image_id=1, category_id=1, bbox=box, score=0.5) for box in detections]
            (tmp_path / 'boxes.json').write_text(json.dumps(found))
            options = dict(bbox_file=str(tmp_path / 'boxes.json'), test_mode=True)
        options.update(data_prefix=dict(img=str(tmp_path)), pipeline=list(pipeline))
        return kind(ann_file=str(path), **options)

    return load
