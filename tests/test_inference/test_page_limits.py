"""What strangers may send to the page."""

import asyncio
import json

import pytest

from mmdiffperc.inference.page_limits import RequestLimits

LIMIT = 10_000  # bytes


def call(body, path='/gradio_api/queue/join', method='POST', length=...):
    """Return the status that the middleware answers, or the body that arrives behind it."""
    length = len(body) if length is ... else length
    headers = [] if length is None else [(b'content-length', str(length).encode())]
    scope = dict(type='http', method=method, path=path, headers=headers)
    parts = [dict(type='http.request', body=body[:5], more_body=True), dict(type='http.request', body=body[5:])]
    answers, arrived = [], []

    async def receive():
        return parts.pop(0)

    async def send(message):
        answers.append(message)

    async def app(scope, receive, send):
        more = True
        while more:
            message = await receive()
            arrived.append(message['body'])
            more = message.get('more_body', False)

    asyncio.run(RequestLimits(app, LIMIT)(scope, receive, send))
    return answers[0]['status'] if answers else b''.join(arrived)


def test_requests_are_limited():
    """Other requests than uploads to 64 KiB; all must give their length."""
    message = json.dumps(dict(data=[dict(path='/tmp/bed.png', url='http://127.0.0.1/file=bed.png')])).encode()
    assert call(message) == message
    assert call(b'no json') == b'no json'
    assert call(b'x' * 2**16) == b'x' * 2**16
    assert call(b'x' * (2**16 + 1)) == 413
    assert call(message, length=None) == 411
    assert call(message, length='-1') == call(message, length='9' * 5000) == 411
    assert call(b'x' * LIMIT, path='/gradio_api/upload') == b'x' * LIMIT
    assert call(b'', path='/gradio_api/upload', length=LIMIT + 2**12 + 1) == 413
    assert call(b'', path='/gradio_api/upload/', length=LIMIT + 2**12 + 1) == 413
    assert call(b'', method='GET', length=None) == b''


@pytest.mark.parametrize('url', ['http://example.org/bed.png', 'https://example.org/bed.png'])
def test_server_downloads_nothing(url):
    assert call(json.dumps(dict(data=[3, dict(meta=dict(path=url))])).encode()) == 400
