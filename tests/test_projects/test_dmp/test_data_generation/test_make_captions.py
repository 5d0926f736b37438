import json
import shutil

import make_captions
import pytest
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
    main, out = make_captions.main, tmp_path / 'out.jsonl'
    main(arguments)
    whole = out.read_text()
    assert main(arguments) == 0 and '0 new captions' in capsys.readouterr().out
    lines = whole.splitlines(keepends=True)
    for left in (''.join(lines[:4]), ''.join(lines[:5]) + lines[5][:9], lines[0]):
        out.write_text(left)
        assert main(arguments) == 0 and out.read_text() == whole
    assert main([*arguments, '--seed', '1']) == 1
    assert 'seed 0' in capsys.readouterr().err and out.read_text() == whole
    out.unlink()
    assert main([*arguments, '--seed', '1']) == 0 and out.read_text() != whole


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
    captions = captioner(['bedroom', 'kitchen'], 0)
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


def test_bad_input(tmp_path, arguments, capsys):
    main = make_captions.main
    with pytest.raises(SystemExit):
        main([*arguments, '--prompt', 'Describe something'])
    assert '--prompt' in capsys.readouterr().err
    (tmp_path / 'keywords.txt').write_text('\n')
    assert main(arguments) == 1 and 'keywords.txt: expected' in capsys.readouterr().err
    (tmp_path / 'keywords.txt').unlink()
    assert main(arguments) == 1 and 'keywords.txt' in capsys.readouterr().err


@pytest.mark.parametrize(
    'option',
    [
        ('--top-p', '2'),
        ('--top-p', '0'),
        ('--temperature', 'nan'),
        ('--temperature', '0'),
        ('--seed', '-1'),
        ('--dtype', 'float16'),
    ],
)
def test_options_out_of_range(arguments, capsys, option):
    with pytest.raises(SystemExit):
        make_captions.main([*arguments, *option])
    error = capsys.readouterr().err.splitlines()[-1]
    assert option[0] in error and 'expected' in error


def test_caption_longer_than_the_model_can_read(tmp_path, arguments, capsys):
    """Its positions are 96, and the longest of the prompts takes 6 to 30 of them."""
    assert make_captions.main([*arguments, '--max-tokens', '96']) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert '--max-tokens 96' in error and '96 tokens' in error
    assert not (tmp_path / 'out.jsonl').read_text()


def test_model_that_is_not_there(arguments, capsys):
    assert make_captions.main([*arguments, '--model', 'nobody/nothing']) == 1
    error = capsys.readouterr().err.splitlines()
    assert '--model nobody/nothing' in error[-1] and 'expected' in error[-1]


def test_keywords_that_are_no_text(tmp_path, arguments, capsys):
    (tmp_path / 'keywords.txt').write_bytes(b'\x89PNG\r\n')
    assert make_captions.main(arguments) == 1
    error = capsys.readouterr().err
    assert 'keywords.txt' in error and 'UTF-8' in error and 'PNG' in error
