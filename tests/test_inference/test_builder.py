import pytest
from mmengine.config import Config
from torch import nn

from mmdiffperc.inference.builder import INFERENCERS, build_inferencer, inferencer_class

CONFIGS = {
    'configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py': 'SemanticInferencer',
    'configs/metaprompts/metaprompts_sd1-5_8xb3-25e_kitti-352x352.py': 'DepthInferencer',
    'configs/vpd/vpd_sd1-5-refer_8xb4-40e_refcoco-512x512.py': 'ReferringInferencer',
    'configs/metaprompts/td-hm_metaprompts-sd1-5_8xb64-210e_coco-256x192.py': 'PoseInferencer',
    'configs/detection/mask-rcnn_sd1-5-fpn_8xb2-1x_coco-1333x800.py': 'DetectionInferencer',
    'configs/detection/retinanet_sd1-5-fpn_8xb2-1x_coco-1333x800.py': 'DetectionInferencer',
}


@pytest.mark.parametrize('path', CONFIGS)
def test_the_model_decides(path):
    assert inferencer_class(Config.fromfile(path)).__name__ == CONFIGS[path]


@pytest.mark.parametrize('kind', ['PreTrainedNothing', 'Linear', nn.Linear, None])
def test_models_without_an_inferencer(kind):
    with pytest.raises(ValueError, match=f'(?s){", ".join(INFERENCERS)}'):
        build_inferencer(Config(dict(model=dict(type=kind))), 'a.pth')
