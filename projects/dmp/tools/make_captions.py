"""Turn keywords into image captions with any causal language model of transformers.

    python projects/dmp/tools/make_captions.py keywords.txt --out-file captions.jsonl
    python projects/dmp/tools/make_captions.py --keyword bedroom --per-keyword 10000 --out-file captions.jsonl
    torchrun --nproc-per-node 8 projects/dmp/tools/make_captions.py keywords.txt --out-file captions.jsonl

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
from generation import add_options, generator_of, model_errors, parse_options, settings_of
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from mmdiffperc.files import read_lines
from mmdiffperc.inference.batched_lines import check_settings, make_lines, parts_folder
from mmdiffperc_cli.options import add_shared, bounded, one_line_errors, positive, positive_float, tool_parser

MODEL = 'Qwen/Qwen2.5-0.5B-Instruct'
ASK = 'Describe a photo of {keyword} in one short sentence, naming what is seen.'
BEGIN = 'A photo of {keyword} with'
SENTENCE = re.compile(r'.+?[.!?](?=\s|$)|.+')


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(parser, 'input', nargs='?', help='text file with one keyword per line')
    parser.add_argument('--keyword', metavar='WORDS', help='the only keyword, instead of INPUT')
    add_shared(parser, '--out-file', '.jsonl', required=True)
    add_shared(parser, '--model', 'causal language model', default=MODEL)
    number = dict(type=positive, metavar='N')
    parser.add_argument(
        '--per-keyword', **number, default=1, help='number of captions per keyword (default: %(default)s)'
    )
    parser.add_argument(
        '--prompt', help=f'prompt, which contains {{keyword}} (default: "{ASK}", or "{BEGIN}" without a chat template)'
    )
    parser.add_argument(
        '--answer-only', action='store_true',
        help='leave the prompt out of the caption, for a model that follows instructions but has no chat template',
    )  # fmt: skip
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
    args = parse_options(parser, arguments)
    if (args.input is None) == (args.keyword is None):
        parser.error('expected either INPUT, a file of keywords, or --keyword')
    if args.prompt is not None and '{keyword}' not in args.prompt:
        parser.error(f'--prompt: expected a text with {{keyword}}, got {args.prompt!r}')
    return args


class SeededSampling(LogitsProcessor):
    """Sample each row of a batch with its own random generator, so that a caption does not depend on its batch.

    The most probable token after adding Gumbel noise is a sample of the distribution (the Gumbel-max trick).

    Args:
        generators (Sequence[torch.Generator]): A generator on the CPU for each row.
    """

    def __init__(self, generators: Sequence[torch.Generator]):
        self.generators = generators

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Add the noise to the scores ``(B, V)`` of the tokens."""
        draws = [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in self.generators]
        return scores - torch.stack(draws).log().to(scores)


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
        self.seed = args.seed
        self.chats = bool(self.tokenizer.chat_template)
        self.keeps_prompt = not (self.chats or args.answer_only)
        self.prompt = args.prompt or (ASK if self.chats else BEGIN)
        self.max_tokens = args.max_tokens
        self.warpers = [TemperatureLogitsWarper(args.temperature), TopPLogitsWarper(args.top_p)]

    @torch.inference_mode()
    def __call__(self, indices: Sequence[int], keywords: Sequence[str]) -> list[str]:
        """Return a caption for each keyword. The indices determine the random numbers.

        Raises:
            ValueError: Prompt and caption together are longer than the context of the model.
        """
        prompts = [self.prompt.replace('{keyword}', keyword) for keyword in keywords]
        told = [self._as_chat(prompt) for prompt in prompts] if self.chats else prompts
        tokens = self.tokenizer(told, return_tensors='pt', padding=True, add_special_tokens=not self.chats)
        tokens = tokens.to(self.model.device)
        length = tokens.input_ids.shape[1]
        self._check_length(length)
        sampling = SeededSampling([generator_of(self.seed, index) for index in indices])
        output = self.model.generate(
            **tokens,
            do_sample=False,  # `sampling` makes the most probable token a random one
            temperature=None, top_p=None, top_k=None,
            logits_processor=LogitsProcessorList([*self.warpers, sampling]),
            max_new_tokens=self.max_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
        )  # fmt: skip
        said = self.tokenizer.batch_decode(output[:, length:], skip_special_tokens=True)
        texts = [prompt + text for prompt, text in zip(prompts, said, strict=True)] if self.keeps_prompt else said
        return [first_sentence(text) or keyword for text, keyword in zip(texts, keywords, strict=True)]

    def lines(self, indices: Sequence[int], keywords: Sequence[str]) -> list[str]:
        """Return a line of the file for each keyword."""
        captions = self(indices, keywords)
        return [json.dumps(dict(keyword=one, text=text)) for one, text in zip(keywords, captions, strict=True)]

    def _check_length(self, prompt_tokens):
        positions = getattr(self.model.config, 'max_position_embeddings', None)
        if positions and prompt_tokens + self.max_tokens > positions:
            raise ValueError(
                f'--max-tokens {self.max_tokens}: expected at most {positions - prompt_tokens}; the '
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
    keywords = [args.keyword] if args.keyword else read_lines(args.input)
    file = args.out_file
    begun = file.exists() or parts_folder(file).exists()
    # The batch size is a setting here, because each batch becomes a file.
    settings = settings_of(args) | dict(keywords=keywords, batch_size=args.batch_size)
    check_settings(file.with_suffix('.settings.json'), begun, **settings)
    keywords = [keyword for keyword in keywords for _ in range(args.per_keyword)]
    return make_lines(file, args, keywords, lambda: Captioner(args).lines, 'captions')


@one_line_errors(ValueError, OSError, RuntimeError, ImportError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = parse_args(arguments)
    number = make_captions(args)
    print(f'{args.out_file}: {number} new captions{"" if args.out_file.exists() else ", not yet complete"}.')


if __name__ == '__main__':
    sys.exit(main())
