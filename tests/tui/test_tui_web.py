"""The dashboard in a browser: what the server sends is the same app."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from fdi_keras.cli import main

aiohttp = pytest.importorskip("aiohttp", reason="needs textual-serve, the extra 'web'")
pytest.importorskip("textual_serve", reason="needs the extra 'web'")


async def first_frame(port, wanted):
    async with aiohttp.ClientSession() as session:
        end = time.monotonic() + 20
        while True:
            try:
                page = await (await session.get(f"http://localhost:{port}/")).text()
                break
            except aiohttp.ClientConnectorError:
                assert time.monotonic() < end
                await asyncio.sleep(0.1)
        address = re.search(r'data-session-websocket-url="([^"]+)"', page)[1]
        async with session.ws_connect(f"{address}?width=100&height=30") as socket_:
            said = b""
            async for message in socket_:
                said += message.data if isinstance(message.data, bytes) else str(message.data).encode()
                if wanted in said:
                    return said


def test_it_is_served(state):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    env = {**os.environ, "FDI_STATE": str(state), "FDI_DATA": str(state), "FDI_ADB": "none"}
    command = [
        sys.executable,
        "-m",
        "fdi_keras",
        "dashboard",
        "--web",
        "--port",
        str(port),
        "--screen",
        "campaign",
    ]
    server = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        frame = asyncio.run(asyncio.wait_for(first_frame(port, b"local-litert-xnnpack"), 30))
        assert b"5 Profiles" in frame
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    assert main(["dashboard", "--web"]) == 1
    assert "pip install 'fdi-keras[web]'" in capsys.readouterr().err


def test_without_a_terminal_there_is_none(capsys):
    assert main(["dashboard"]) == 2
    assert "needs a terminal" in capsys.readouterr().err
    assert main([]) == 0
    assert "Verbs" in capsys.readouterr().out


def test_keys_are_listed(capsys):
    assert main(["dashboard", "--keys"]) == 0
    assert "campaign.stop" in capsys.readouterr().out
    assert main(["dashboard", "--json"]) == 2
