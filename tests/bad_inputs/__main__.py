"""Give the package every bad input, and print the counts and what is not clear.

    python tests/bad_inputs [AREA ...]

Each area runs in its own process. One that dies, or says nothing for a minute, has crashed or hung at the input
that it was at; another process goes on behind it. The exit status is 1 where the aims are missed.
"""

import sys
from multiprocessing import get_context
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[level]) for level in (1, 2)]

import conftest  # noqa: E402, F401  (no network, one thread)

from bad_inputs.case import Answer, ask  # noqa: E402
from bad_inputs.report import AREAS, GOOD, cases_of, most_unclear, summary  # noqa: E402

SECONDS = 60
PROCESSES = get_context('fork')  # each starts with everything imported


def work(index, start, pipe):
    """Answer the cases of an area from one on."""
    for case in cases_of(AREAS[index])[start:]:
        pipe.send(ask(case))
    pipe.close()


def answers_of(index):
    """The answers of an area; those of inputs that end the process are made up here."""
    answers, expected = [], len(cases_of(AREAS[index]))
    while len(answers) < expected:
        receiver, sender = PROCESSES.Pipe(duplex=False)
        process = PROCESSES.Process(target=work, args=(index, len(answers), sender))
        process.start()
        sender.close()
        try:
            while len(answers) < expected:
                if not receiver.poll(SECONDS):
                    answers.append(Answer('hang'))
                    break
                answers.append(receiver.recv())
        except EOFError:
            answers.append(Answer('crash'))
        process.kill()
        process.join()
    return list(zip(cases_of(AREAS[index]), answers, strict=True))


def main(wanted):
    """Print the answers of the areas that are wanted, or of all."""
    failed = False
    for index, area in enumerate(AREAS):
        name = area.__name__.rpartition('.')[2]
        if wanted and name not in wanted:
            continue
        answers = answers_of(index)
        print(f'{name}: {summary(answers)}', flush=True)
        kinds = [answer.kind for _, answer in answers]
        failed |= any(kind in kinds for kind in ('crash', 'hang'))
        failed |= any(kinds.count(kind) > most_unclear(area, len(kinds)) for kind in ('silent', 'obscure'))
        assert set(kinds) <= {*GOOD, 'silent', 'obscure', 'crash', 'hang'}
    return int(failed)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
