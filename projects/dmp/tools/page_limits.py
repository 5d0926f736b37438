"""What the page accepts: limits of its own, and of the requests that reach Gradio."""

import json
from typing import NamedTuple

from gradio_client.utils import is_http_url_like
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

UPLOAD = '/upload'
LARGEST_MESSAGE = 2**16  # bytes of a request that is no upload: a caption, a few numbers, and the name of a file
LARGEST_FORM = 2**12  # bytes of an upload around the file
LONGEST_NUMBER = 18  # digits


class Limits(NamedTuple):
    """Limits of the page.

    Attributes:
        num_bytes (int): Size of an uploaded file.
        num_pixels (int): Size of an uploaded image.
        queue_size (int): Requests that may wait.
        seconds (float): Time of a prediction, after which it takes no further step.
    """

    num_bytes: int = 50_000_000
    num_pixels: int = 25_000_000
    queue_size: int = 100
    seconds: float = 300


class RequestLimits:
    """ASGI middleware that refuses requests before Gradio sees them.

    Gradio limits the size of a file, but neither the number of files nor the size of other requests, and it downloads
    any address that stands in place of the name of an uploaded file.

    Args:
        app (ASGIApp): The application behind it.
        num_bytes (int): Size of an uploaded file.
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
            return await refuse(411, 'Expected a request that says how long it is')(scope, receive, send)
        if int(length) > limit:
            return await refuse(413, f'Expected at most {limit} bytes, got {int(length)}')(scope, receive, send)
        if not is_upload:
            body = await read(receive)
            if names_address(body):
                return await refuse(400, 'Expected an uploaded file, got an address')(scope, receive, send)
            receive = replay(body, receive)
        await self.app(scope, receive, send)


def refuse(status: int, reason: str) -> PlainTextResponse:
    """Return the answer to a request that is not accepted."""
    return PlainTextResponse(reason, status)


async def read(receive: Receive) -> bytes:
    """Read the body of a request, whose length the server has checked."""
    body, more = b'', True
    while more:
        message = await receive()
        body += message.get('body', b'')
        more = message.get('more_body', False)
    return body


def replay(body: bytes, receive: Receive) -> Receive:
    """Hand out a body that has been read, and then what else is received."""
    messages = [dict(type='http.request', body=body, more_body=False)]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


def names_address(body: bytes) -> bool:
    """Return whether a file in the data of a request is an address; what is no JSON, Gradio refuses itself."""
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
