from mmdiffperc.captions import CaptionFile
from mmdiffperc.toy_scenes.writers import make_sample


def test_captions_of_the_images_of_all_formats(toy_root, toy_spec):
    for split, number in (('train', toy_spec.num_train), ('val', toy_spec.num_val)):
        file = CaptionFile(toy_root / 'captions' / f'{split}.json')
        samples = [make_sample(toy_spec, split, index) for index in range(number)]
        assert {sample.name: sample.captions[0] for sample in samples} == file.captions
        image = toy_root / 'ade/images' / {'train': 'training', 'val': 'validation'}[split] / samples[0].file_name
        assert image.is_file() and file[image] == samples[0].captions[0]
