"""The limits of the browser page, and the middleware that applies those of requests."""

import json
from typing import NamedTuple

from gradio_client.utils import is_http_url_like
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD = '/upload'
LARGEST_MESSAGE = 2**16  # bytes of a request other than an upload: a sentence, a few numbers, the name of a file
LARGEST_FORM = 2**12  # bytes of an upload besides the file
LONGEST_NUMBER = 18  # digits


class Limits(NamedTuple):
    """What a visitor of the page may ask for.

    Attributes:
        num_bytes (int): Size of an uploaded file.
        num_pixels (int): Size of an uploaded image.
        queue_size (int): Number of waiting requests.
        seconds (float): Duration of a prediction.
    """

    num_bytes: int
    num_pixels: int
    queue_size: int
    seconds: float


class RequestLimits:
    """ASGI middleware that rejects requests before they reach Gradio.

    Gradio limits the size of a file, but not the number of files or the size of other requests. It also downloads any
    URL that is given instead of the name of an uploaded file.

    Args:
        app (ASGIApp): The application to protect.
        num_bytes (int): Largest size of an uploaded file.
    """

    def __init__(self, app: ASGIApp, num_bytes: int):
        self.app = app
        self.num_bytes = num_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send):
        """Answer a request."""
        if scope['type'] != 'http' or scope['method'] in ('GET', 'HEAD', 'OPTIONS'):
            return await self.app(scope, receive, send)
        is_upload = scope['path'].rstrip('/').endswith(UPLOAD)
        limit = self.num_bytes + LARGEST_FORM if is_upload else LARGEST_MESSAGE
        length = dict(scope['headers']).get(b'content-length', b'')
        if not length.isdigit() or len(length) > LONGEST_NUMBER:
            return await refuse(411, 'Expected a request with a Content-Length')(scope, receive, send)
        if int(length) > limit:
            return await refuse(413, f'Expected at most {limit} bytes, got {int(length)}')(scope, receive, send)
        if not is_upload:
            body = await read(receive)
            if names_url(body):
                return await refuse(400, 'Expected an uploaded file, got a URL')(scope, receive, send)
            receive = replay(body, receive)
        await self.app(scope, receive, send)


def refuse(status: int, reason: str) -> PlainTextResponse:
    """Return the response to a rejected request."""
    return PlainTextResponse(reason, status)


async def read(receive: Receive) -> bytes:
    """Read the body of a request. The server has checked its length."""
    body, more = b'', True
    while more:
        message = await receive()
        body += message.get('body', b'')
        more = message.get('more_body', False)
    return body


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that repeats a body before it receives anything else."""
    messages = [dict(type='http.request', body=body, more_body=False)]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def names_url(body: bytes) -> bool:
    """Return whether a file in the data of a request is a URL. Gradio itself rejects what is not JSON."""
    try:
        pending = [json.loads(body)]
    except (ValueError, RecursionError):
        return False
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            path = value.get('path')
            if isinstance(path, str) and is_http_url_like(path):
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return False
