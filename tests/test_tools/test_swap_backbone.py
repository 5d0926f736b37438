import pytest
from mmengine.config import Config
from swap_backbone import main
from tiny_arch import write_arch

UPERNET = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'


def test_a_config_is_written(tmp_path, capsys):
    arch, out = write_arch(tmp_path / 'arch'), tmp_path / 'mine.py'
    options = ['--arch', arch, '--weights', 'sd.ckpt', '--classes', 'road', 'tram stop']
    assert (
        main(
            [
                UPERNET,
                '--out-file',
                str(out),
                *options,
                '--backbone',
                'with_cp=True',
                'prompts.adapter.type=TextAdapter',
            ]
        )
        == 0
    )
    backbone = Config.fromfile(out).model.backbone
    assert backbone.init_cfg == dict(type='Pretrained', checkpoint='sd.ckpt')
    assert backbone.prompts == dict(
        type='ClassPrompts', classes=['road', 'tram stop'], adapter=dict(type='TextAdapter')
    )
    assert backbone.with_cp is True
    assert Config.fromfile(out).model.decode_head.num_classes == 2
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(str(out)) and '(0, 1, 2, 3)' in last and '(4, 8, 16, 32)' in last


def test_three_levels_of_sdxl_for_four_features(archs, tmp_path, capsys):
    out = tmp_path / 'mine.py'
    assert main([UPERNET, '--out-file', str(out), '--arch', archs['sdxl'], '--backbone', 'input_scale=2.0']) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert '(0, 1, 2, 2)' in last and '(4, 8, 16, 32)' in last
    assert Config.fromfile(out).model.backbone.input_scale == 2.0


def test_unknown_arch_in_place_of_our_own_backbone(tiny_vpd, tmp_path, capsys):
    assert main([tiny_vpd, '--out-file', str(tmp_path / 'mine.py'), '--arch', 'nope']) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "'nope'" in error and 'tiny-sd' in error and not (tmp_path / 'mine.py').exists()


def test_own_strides_and_the_classes_of_a_data_set(tmp_path, capsys):
    arch, out = write_arch(tmp_path / 'arch'), tmp_path / 'mine.py'
    assert (
        main([UPERNET, '--out-file', str(out), '--arch', arch, '--classes', 'ade', '--strides', '8', '16', '32', '64'])
        == 0
    )
    cfg = Config.fromfile(out)
    assert cfg.model.backbone.prompts.classes == 'ade' and 'out_strides' not in cfg.model.backbone
    assert cfg.model.decode_head.in_channels == [8, 16, 24, 40]
    last = capsys.readouterr().out.splitlines()[-1]
    assert '(0, 1, 2, 3)' in last and 'native' in last


@pytest.mark.parametrize('name', ['tram', 'wave'])
def test_one_class(tmp_path, capsys, name):
    arch, out = write_arch(tmp_path / 'arch'), tmp_path / 'mine.py'
    assert (
        main([UPERNET, '--out-file', str(out), '--arch', arch, '--classes', name, '--strides', '8', '16', '32', '64'])
        == 0
    )
    cfg = Config.fromfile(out)
    assert cfg.model.backbone.prompts.classes == [name] and cfg.model.decode_head.num_classes == 1
    assert repr(name) in capsys.readouterr().out.splitlines()[-2]


@pytest.mark.parametrize('name', ['CityscapesDataset', 'mmseg.datasets.CityscapesDataset'])
def test_the_classes_of_a_data_set_of_the_host(tmp_path, name):
    arch, out = write_arch(tmp_path / 'arch'), tmp_path / 'mine.py'
    assert (
        main([UPERNET, '--out-file', str(out), '--arch', arch, '--classes', name, '--strides', '8', '16', '32', '64'])
        == 0
    )
    cfg = Config.fromfile(out)
    assert cfg.model.backbone.prompts.classes == name and cfg.model.decode_head.num_classes == 19


def test_an_existing_file_is_not_replaced_unasked(tmp_path, capsys):
    arch, out = write_arch(tmp_path / 'arch'), tmp_path / 'mine.py'
    out.write_text('mine = True')
    assert main([UPERNET, '--out-file', str(out), '--arch', arch]) == 1
    assert str(out) in (error := capsys.readouterr().err) and '--force' in error
    assert out.read_text() == 'mine = True'
    assert main([UPERNET, '--out-file', str(out), '--arch', arch, '--force']) == 0
    assert Config.fromfile(out).model.backbone.type == 'DiffusionUNet'


def test_classes_that_the_text_encoder_cannot_read(tmp_path, capsys):
    options = ['--arch', write_arch(tmp_path / 'arch'), '--strides', '8', '16', '32', '64', '--classes', 'tram', '道路']
    assert main([UPERNET, '--out-file', str(tmp_path / 'mine.py'), *options]) == 1
    assert "'道路'" in capsys.readouterr().err.splitlines()[-1] and not (tmp_path / 'mine.py').exists()


def test_what_cannot_be_swapped_is_told_in_a_line(tmp_path, capsys):
    assert main(['mmseg::_base_/models/san_vit-b16.py', '--out-file', str(tmp_path / 'mine.py')]) == 1
    assert capsys.readouterr().err.startswith('swap_backbone: MultimodalEncoderDecoder ')
    assert not (tmp_path / 'mine.py').exists()
