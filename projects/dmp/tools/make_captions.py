"""Turn keywords into image captions with any causal language model of transformers.

    python projects/dmp/tools/make_captions.py keywords.txt --out-file captions.jsonl --model Qwen/Qwen2.5-0.5B-Instruct

Each line of captions.jsonl contains a keyword and a caption ("text"). If the model has a chat template, the caption is
its answer to the prompt. Otherwise, the caption is the prompt and its continuation. The tool keeps only the first
sentence. To continue after an interruption, run the same command again.
"""

import json
import re
import sys
from argparse import ArgumentParser
from collections.abc import Sequence

import torch
from generation import add_options, check_dtype, check_settings, in_batches, model_errors, seed_of
from transformers import AutoModelForCausalLM, AutoTokenizer

from mmdiffperc.command_line import add_shared, bounded, one_line_errors, positive, positive_float, tool_parser
from mmdiffperc.files import read_lines, write_whole

ASK = 'Describe a photo of {keyword} in one short sentence, naming what is seen.'
BEGIN = 'A photo of {keyword} with'
NOT_SETTINGS = ('input', 'out_file', 'device')  # the batch size is a setting, because a batch shares one seed
SENTENCE = re.compile(r'.+?[.!?](?=\s|$)|.+')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', help='text file with one keyword per line')
    add_shared(parser, '--out-file', '.jsonl', required=True)
    add_shared(parser, '--model', 'causal language model', required=True)
    number = dict(type=positive, metavar='N')
    parser.add_argument(
        '--per-keyword', **number, default=1, help='number of captions per keyword (default: %(default)s)'
    )
    parser.add_argument(
        '--prompt', help=f'prompt, which contains {{keyword}} (default: "{ASK}", or "{BEGIN}" without a chat template)'
    )
    parser.add_argument(
        '--max-tokens', **number, default=40, help='largest number of tokens in a caption (default: %(default)s)'
    )
    parser.add_argument(
        '--temperature', type=positive_float, default=1.0, help='sampling temperature (default: %(default)s)'
    )
    parser.add_argument(
        '--top-p', type=bounded(float, above=0, most=1), default=0.95, metavar='P',
        help='probability mass of nucleus sampling (default: %(default)s)',
    )  # fmt: skip
    add_options(parser, batch_size=16)
    return parser


def parse_args(arguments=None):
    """Read the command line."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    check_dtype(parser, args)
    if args.prompt is not None and '{keyword}' not in args.prompt:
        parser.error(f'--prompt: expected a text with {{keyword}}, got {args.prompt!r}')
    return args


class Captioner:
    """A language model that writes captions.

    Args:
        args (Namespace): The command line.
    """

    def __init__(self, args):
        # Pad on the left, because a continuation must directly follow its prompt.
        with model_errors(args.model):
            self.tokenizer = AutoTokenizer.from_pretrained(args.model, padding_side='left')
            model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype))
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.model = model.to(args.device).eval()
        self.chats = bool(self.tokenizer.chat_template)
        self.prompt = args.prompt or (ASK if self.chats else BEGIN)
        self.options = dict(max_new_tokens=args.max_tokens, temperature=args.temperature, top_p=args.top_p)

    @torch.inference_mode()
    def __call__(self, keywords: Sequence[str], seed: int) -> list[str]:
        """Return a caption for each keyword.

        Raises:
            ValueError: Prompt and caption together are longer than the context of the model.
        """
        prompts = [self.prompt.replace('{keyword}', keyword) for keyword in keywords]
        told = [self._as_chat(prompt) for prompt in prompts] if self.chats else prompts
        tokens = self.tokenizer(told, return_tensors='pt', padding=True, add_special_tokens=not self.chats)
        tokens = tokens.to(self.model.device)
        self._check_length(tokens.input_ids.shape[1])
        torch.manual_seed(seed)
        output = self.model.generate(**tokens, do_sample=True, pad_token_id=self.tokenizer.pad_token_id, **self.options)
        said = self.tokenizer.batch_decode(output[:, tokens.input_ids.shape[1] :], skip_special_tokens=True)
        if self.chats:
            return [first_sentence(text) or keyword for text, keyword in zip(said, keywords, strict=True)]
        return [first_sentence(prompt + text) for prompt, text in zip(prompts, said, strict=True)]

    def _check_length(self, prompt_tokens):
        positions = getattr(self.model.config, 'max_position_embeddings', None)
        if positions and prompt_tokens + self.options['max_new_tokens'] > positions:
            raise ValueError(
                f'--max-tokens {self.options["max_new_tokens"]}: expected at most {positions - prompt_tokens}; the '
                f'context of the model has {positions} tokens, of which the prompt takes {prompt_tokens}'
            )

    def _as_chat(self, prompt):
        messages = [dict(role='user', content=prompt)]
        return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def first_sentence(text: str) -> str:
    """Return the first sentence of the first line that is not blank, with single spaces, or an empty string."""
    line = next((line for line in text.splitlines() if line.strip()), '')
    found = SENTENCE.match(' '.join(line.split()))
    return found[0] if found else ''


def make_captions(args) -> int:
    """Write the missing captions; return their number."""
    keywords = [keyword for keyword in read_lines(args.input) for _ in range(args.per_keyword)]
    whole = args.out_file.read_bytes().split(b'\n')[:-1] if args.out_file.exists() else []
    settings = {name: value for name, value in vars(args).items() if name not in NOT_SETTINGS}
    note = args.out_file.with_suffix('.settings.json')
    check_settings(note, bool(whole), keywords=keywords[:: args.per_keyword], **settings)
    # An incomplete batch is generated again.
    done = len(whole) if len(whole) == len(keywords) else len(whole) // args.batch_size * args.batch_size
    if done == len(keywords):
        return 0
    captioner = Captioner(args)
    write_whole(args.out_file, b''.join(line + b'\n' for line in whole[:done]))
    with open(args.out_file, 'a', encoding='utf-8') as out:
        for batch in in_batches(list(enumerate(keywords))[done:], args.batch_size, done, 'captions'):
            indices, told = zip(*batch, strict=True)
            captions = captioner(told, seed_of(args.seed, indices[0]))
            lines = [json.dumps(dict(keyword=one, text=text)) for one, text in zip(told, captions, strict=True)]
            out.write('\n'.join(lines) + '\n')
            out.flush()
    return len(keywords) - done


@one_line_errors(ValueError, OSError, RuntimeError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    print(f'{args.out_file}: {make_captions(args)} new captions.')


if __name__ == '__main__':
    sys.exit(main())
