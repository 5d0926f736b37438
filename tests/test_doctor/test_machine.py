import os
import socket
import sysconfig
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from mmdiffperc.doctor.machine import ask_hub, find_machine, hub_cache


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Whatever proxy the machine has."""
    monkeypatch.setenv('no_proxy', '*')


@contextmanager
def hub(status, **headers):
    """A hub that answers each request alike, and lists the requests."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append(self.requestline)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *arguments):
            """Write nothing."""

    with HTTPServer(('127.0.0.1', 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}', requests
        server.shutdown()


@pytest.mark.parametrize(('status', 'headers'), [(200, {}), (307, dict(Location='/elsewhere')), (503, {})])
def test_one_request_whatever_the_answer(status, headers):
    with hub(status, **headers) as (address, requests):
        assert ask_hub({'HF_ENDPOINT': address}) == (address, 'reachable')
    assert requests == ['HEAD / HTTP/1.1']


@pytest.mark.parametrize('name', ['HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE'])
def test_no_request_where_it_is_forbidden(name):
    with hub(200) as (address, requests):
        _, answer = ask_hub({'HF_ENDPOINT': address, name: 'yes'})
        assert name in answer and requests == []
        assert ask_hub({'HF_ENDPOINT': address, name: '0'})[1] == 'reachable'


def test_nobody_listens():
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))
        address = f'http://127.0.0.1:{closed.getsockname()[1]}'
        assert ask_hub({'HF_ENDPOINT': address})[1].startswith('not reachable (')


def test_nobody_answers():
    with socket.create_server(('127.0.0.1', 0)) as silent:
        _, answer = ask_hub({'HF_ENDPOINT': f'http://127.0.0.1:{silent.getsockname()[1]}'}, patience=0.2)
    assert answer != 'reachable'


@pytest.mark.parametrize('address', ['file:///etc/passwd', 'huggingface.co', '', 'http://hub:port', 'https://'])
def test_what_is_no_address_is_not_asked(address):
    assert 'HF_ENDPOINT' in ask_hub({'HF_ENDPOINT': address})[1]


def test_a_password_is_not_shown():
    address, _ = ask_hub({'HF_ENDPOINT': 'https://me:secret@mirror.example:8443/hub', 'HF_HUB_OFFLINE': '1'})
    assert address == 'https://mirror.example:8443'


@pytest.mark.parametrize(
    ('environment', 'folder'),
    [
        ({}, Path.home() / '.cache/huggingface/hub'),
        ({'XDG_CACHE_HOME': '/caches'}, Path('/caches/huggingface/hub')),
        ({'XDG_CACHE_HOME': '/caches', 'HF_HOME': '/weights'}, Path('/weights/hub')),
        ({'HF_HOME': '/weights', 'HF_HUB_CACHE': '~/hub'}, Path.home() / 'hub'),
    ],
)
def test_cache_of_the_hub(environment, folder):
    assert hub_cache(environment) == folder


def test_this_machine(tmp_path):
    found = find_machine({'HF_HUB_OFFLINE': '1', 'HF_HOME': str(tmp_path / 'not' / 'yet')})
    free, total = found.memory
    assert 0 < free <= total and found.free_in_cache > 0 and 'HF_HUB_OFFLINE' in found.hub_answer
    assert found.cache == tmp_path / 'not' / 'yet' / 'hub' and not found.cache.exists()


@pytest.mark.parametrize('is_writable', [True, False])
def test_the_folder_of_the_packages(is_writable, monkeypatch):
    """Root may write to any folder, unless the file system is read-only."""
    asked = []
    monkeypatch.setattr(os, 'access', lambda path, mode: asked.append((path, mode)) or is_writable)
    assert find_machine({'HF_HUB_OFFLINE': '1'}).can_install is is_writable
    assert (sysconfig.get_paths()['purelib'], os.W_OK) in asked


def test_a_cache_that_cannot_exist(tmp_path):
    """Its name is longer than file systems allow."""
    found = find_machine({'HF_HUB_OFFLINE': '1', 'HF_HUB_CACHE': str(tmp_path / ('x' * 300))})
    assert found.free_in_cache > 0
