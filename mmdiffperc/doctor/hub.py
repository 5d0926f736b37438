"""Whether the hub of Hugging Face can be reached: :func:`.ask_hub`."""

from collections.abc import Mapping
from http.client import HTTPException
from queue import Empty, SimpleQueue
from threading import Thread
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

DEFAULT_ENDPOINT = 'https://huggingface.co'
OFFLINE = ('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE')
REACHABLE = 'reachable'
PATIENCE = 3  # seconds


class _NoRedirect(HTTPRedirectHandler):
    """Take a redirection for the answer, so that a single request is sent."""

    def redirect_request(self, *arguments):
        """Follow none."""


def ask_hub(environment: Mapping[str, str], patience: float = PATIENCE) -> tuple[str, str]:
    """Send one HEAD request to the hub, unless the environment forbids it.

    Args:
        environment (Mapping[str, str]): The variables that the client of the hub reads: ``HF_ENDPOINT``,
            ``HF_HUB_OFFLINE``, ``TRANSFORMERS_OFFLINE``.
        patience (float): Seconds to wait for an answer.

    Returns:
        tuple[str, str]: The address without its user and password, and ``'reachable'`` or the reason why it is not.
    """
    endpoint = environment.get('HF_ENDPOINT', DEFAULT_ENDPOINT)
    try:
        parts = urlsplit(endpoint)
        shown = f'{parts.scheme}://{parts.hostname}{f":{parts.port}" if parts.port else ""}'
    except ValueError:  # a port that is no number, for instance
        parts, shown = urlsplit(''), 'HF_ENDPOINT'
    if parts.scheme not in ('http', 'https') or not parts.hostname:
        return shown, 'not asked, because HF_ENDPOINT is not an address of the form https://...'
    for name in OFFLINE:
        if environment.get(name, '').upper() in ('1', 'ON', 'YES', 'TRUE'):
            return shown, f'not asked, because {name} is set'
    return shown, _ask_in_time(endpoint, patience)


def _ask_in_time(address, patience):
    """Looking up a name knows no time limit, so it is done by a thread that is not waited for."""
    answers = SimpleQueue()
    Thread(target=lambda: answers.put(_ask(address, patience)), daemon=True).start()
    try:
        return answers.get(timeout=patience)
    except Empty:
        return f'no answer within {patience} seconds'


def _ask(address, patience):
    try:
        with build_opener(_NoRedirect).open(Request(address, method='HEAD'), timeout=patience):
            return REACHABLE
    except HTTPError:  # refused or redirected, but it answers
        return REACHABLE
    except (URLError, OSError, HTTPException, ValueError) as error:
        return f'not reachable ({getattr(error, "reason", error)})'
