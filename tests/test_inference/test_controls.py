import gradio as gr
import pytest

from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.page import widget


@pytest.mark.parametrize(
    ('control', 'kind', 'expected'),
    [
        (Control('text', 'text', 'Text'), gr.Textbox, dict(label='Text', info=None, value=None)),
        (Control('steps', 'count', 'Steps', default=5), gr.Slider, dict(minimum=1, maximum=50, value=5, step=1)),
        (Control('steps', 'count', 'Steps', default=70), gr.Slider, dict(minimum=1, maximum=70, value=70)),
        (Control('score', 'score', 'Score', 'Least.', 0.3), gr.Slider, dict(info='Least.', maximum=1, value=0.3)),
        (
            Control('scene', 'choice', 'Scene', choices=('attic', 'cellar')),
            gr.Dropdown,
            dict(choices=[('unknown', ''), ('attic', 'attic'), ('cellar', 'cellar')], value=''),
        ),
    ],
)
def test_a_control_is_shown_as_a_widget(control, kind, expected):
    shown = widget(control)
    assert type(shown) is kind
    assert {name: getattr(shown, name) for name in expected} == expected
