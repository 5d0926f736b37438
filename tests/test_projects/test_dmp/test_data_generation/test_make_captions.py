import json
import shutil

import make_captions
import pytest
import torch
from generation import generator_of
from transformers import AutoTokenizer

KEYWORDS = 'bedroom\nkitchen\nbeach\n'


@pytest.fixture
def arguments(tmp_path, language_model):
    """Two captions for each of three keywords, in batches of four."""
    (tmp_path / 'keywords.txt').write_text(KEYWORDS)
    options = ['--per-keyword', '2', '--batch-size', '4', '--max-tokens', '6', '--device', 'cpu']
    return [
        str(tmp_path / 'keywords.txt'),
        '--out-file',
        str(tmp_path / 'out.jsonl'),
        '--model',
        str(language_model),
        *options,
    ]


def test_captions(tmp_path, arguments, capsys):
    assert make_captions.main(arguments) == 0
    lines = [json.loads(line) for line in (tmp_path / 'out.jsonl').read_text().splitlines()]
    assert [line['keyword'] for line in lines] == [word for word in KEYWORDS.split() for _ in range(2)]
    assert all(line['text'].startswith(f'A photo of {line["keyword"]} with') for line in lines)
    assert len({line['text'] for line in lines}) == 6
    assert '6 new captions' in capsys.readouterr().out


def test_continues_to_the_same_captions(tmp_path, arguments, capsys):
    main, out, parts = make_captions.main, tmp_path / 'out.jsonl', tmp_path / 'out.parts'
    main(arguments)
    whole = out.read_text()
    assert main(arguments) == 0 and '0 new captions' in capsys.readouterr().out and not parts.exists()
    lines = whole.splitlines(keepends=True)
    out.unlink()
    parts.mkdir()
    (parts / '00000000.jsonl').write_text(''.join(lines[:4]))
    assert main(arguments) == 0 and '2 new captions' in capsys.readouterr().out and out.read_text() == whole
    assert main([*arguments, '--seed', '1']) == 1
    assert 'seed 0' in capsys.readouterr().err and out.read_text() == whole
    out.unlink()
    assert main([*arguments, '--seed', '1']) == 0 and out.read_text() != whole


def test_captions_do_not_depend_on_processes_or_batches(tmp_path, arguments, capsys):
    main, out = make_captions.main, tmp_path / 'out.jsonl'
    main(arguments)
    whole = out.read_bytes()
    out.unlink()
    for index in '10':
        assert not out.exists()
        assert main([*arguments, '--index', index, '--world-size', '2']) == 0
    assert out.read_bytes() == whole
    assert capsys.readouterr().out.count('not yet complete') == 1
    out.unlink()
    assert main([*arguments, '--batch-size', '1']) == 0 and out.read_bytes() == whole


def test_keyword_on_the_command_line(tmp_path, arguments, capsys):
    assert make_captions.main([*arguments[1:], '--keyword', 'white room', '--answer-only']) == 0
    captions = [json.loads(line) for line in (tmp_path / 'out.jsonl').read_text().splitlines()]
    assert [caption['keyword'] for caption in captions] == ['white room'] * 2
    assert not any('photo of white room' in caption['text'] for caption in captions)
    for wrong in (arguments[1:], [*arguments, '--keyword', 'beach']):
        with pytest.raises(SystemExit):
            make_captions.main(wrong)
        assert '--keyword' in capsys.readouterr().err


def test_samples_follow_the_distribution():
    """A token of probability 0.7 in seven of ten samples, and one of probability 0 in none."""
    generators = [generator_of(0, index) for index in range(2000)]
    scores = torch.tensor([[0.7, 0.3, 0.0]]).log().expand(2000, 3)
    chosen = make_captions.SeededSampling(generators)(None, scores).argmax(1)
    assert chosen.bincount(minlength=3)[2] == 0 and 0.66 < (chosen == 0).float().mean() < 0.74


def test_a_model_that_chats_answers(tmp_path, arguments, language_model):
    """Its prompt is wrapped by its template, and no part of the caption."""
    folder = shutil.copytree(language_model, tmp_path / 'chat')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = '{% for message in messages %}<{{ message.content }}>{% endfor %}'
    tokenizer.save_pretrained(folder)
    tools = make_captions
    captioner = tools.Captioner(tools.parse_args([*arguments, '--model', str(folder), '--prompt', 'See a {keyword}']))
    told = []
    captioner.model.register_forward_pre_hook(
        lambda model, args, kwargs: told.append(kwargs['input_ids']), with_kwargs=True
    )
    captions = captioner([0, 1], ['bedroom', 'kitchen'])
    assert tokenizer.batch_decode(told[0], skip_special_tokens=True) == ['<See a bedroom>', '<See a kitchen>']
    assert all(caption and 'See a' not in caption for caption in captions)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ('\n A bed,  and 2.5 chairs. More', 'A bed, and 2.5 chairs.'),
        ('A bed\nand more', 'A bed'),
        (' \n', ''),
    ],
)
def test_first_sentence(text, expected):
    assert make_captions.first_sentence(text) == expected


def test_caption_longer_than_the_model_can_read(tmp_path, arguments, capsys):
    """Its positions are 96, and the longest of the prompts takes 6 to 30 of them."""
    assert make_captions.main([*arguments, '--max-tokens', '96']) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--max-tokens 96' in error and '96 tokens' in error
    assert not (tmp_path / 'out.jsonl').exists()
