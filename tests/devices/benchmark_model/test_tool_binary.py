"""Finding the tool: named, cached, or fetched from a server that does everything wrong."""

import hashlib
import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fdi_keras.devices.benchmark_model import find_binary
from fdi_keras.devices.benchmark_model.binary import cached_path, check_elf
from fdi_keras.errors import RunnerNotFoundError, StorageError

ARM64 = "arm64-v8a"
NAME = "/android_aarch64_benchmark_model"


def elf(machine=183, bits=64, padding=4000):
    """A file with the header of a program, its table of sections at the end."""
    wide = bits == 64
    size = 64 if wide else 52
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    head = struct.pack("<HHI", 3, machine, 1)
    at = size + padding
    if wide:
        rest = struct.pack("<QQQIHHHHHH", 0, 64, at, 0, 64, 56, 1, 64, 3, 2)
    else:
        rest = struct.pack("<IIIIHHHHHH", 0, 52, at, 0, 52, 32, 1, 40, 3, 2)
    return ident + head + rest + b"p" * padding + bytes(3 * (64 if wide else 40))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        answer = self.server.answers.get(self.path, (404, b"<html>Not Found</html>", {}))
        status, content, headers = answer
        self.send_response(status)
        length = headers.pop("short", len(content))
        for key, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *words):
        """Quiet."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FDI_BENCHMARK_MODEL", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web.answers, web.asked = {}, []
    web.location = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield web
    web.shutdown()
    thread.join()
    web.server_close()


def test_it_is_fetched_once_with_progress_and_its_hash_recorded(server):
    content = elf(padding=300_000)
    server.answers[NAME] = (200, content, {})
    steps = []
    binary = find_binary(ARM64, progress=lambda *step: steps.append(step), location=server.location)
    assert binary.sha256 == hashlib.sha256(content).hexdigest()
    assert (binary.bytes, binary.source, binary.path) == (
        len(content), server.location + NAME, str(cached_path(ARM64)),
    )  # fmt: skip
    assert steps[-1] == (len(content), len(content))
    assert [step[0] for step in steps] == sorted(step[0] for step in steps)
    assert json.loads(cached_path(ARM64).with_suffix(".json").read_bytes())["sha256"] == binary.sha256
    assert cached_path(ARM64).stat().st_mode & 0o111
    assert find_binary(ARM64, location=server.location) == binary
    assert server.asked == [NAME]


def test_a_redirection_is_followed(server):
    server.answers[NAME] = (302, b"", {"Location": f"{server.location}/elsewhere"})
    server.answers["/elsewhere"] = (200, elf(), {})
    assert find_binary(ARM64, location=server.location).bytes == len(elf())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, b"gone", {}), "answered 404"),
        ((200, b"<!doctype html><title>Sign in</title>" + b" " * 200, {}), "found a web page"),
        ((200, elf(62), {}), "is for 64-bit x86, the phone needs one for 64-bit ARM"),
        ((200, elf(40, 32), {}), "is for 32-bit ARM"),
        ((200, elf()[:-1], {}), "is cut off"),
        ((200, b"\x7fELF", {}), "no program for Android"),
        ((200, elf()[:3000], {"short": 4256}), "broke off: 3000 of 4256 bytes"),
        ((200, b"", {}), "no program"),
        ((302, b"", {"Location": "/elsewhere"}), "answered 404"),
    ],
)
def test_what_cannot_be_used_is_refused_and_the_error_says_what_to_get_and_where_to_put_it(
    server, answer, why
):
    server.answers[NAME] = answer
    with pytest.raises(RunnerNotFoundError, match=why) as caught:
        find_binary(ARM64, location=server.location)
    text = str(caught.value)
    assert f"Get {server.location}{NAME} yourself and put it at {cached_path(ARM64)}" in text
    assert "--benchmark-model FILE or the variable FDI_BENCHMARK_MODEL" in text
    assert [path.name for path in cached_path(ARM64).parent.iterdir()] in ([], ["benchmark_model.lock"])


def test_without_network_the_error_names_the_official_address(server, monkeypatch):
    server.shutdown()
    server.server_close()
    with pytest.raises(RunnerNotFoundError, match="cannot be reached") as caught:
        find_binary("armeabi-v7a", location=server.location)
    assert f"{server.location}/android_arm_benchmark_model" in str(caught.value)


def test_no_official_build_for_an_abi_is_said_with_the_place_for_an_own_one(server):
    with pytest.raises(
        RunnerNotFoundError, match="no official benchmark_model to fetch for x86_64"
    ) as caught:
        find_binary("x86_64", location=server.location)
    assert str(cached_path("x86_64")) in str(caught.value)
    assert server.asked == []


def test_a_file_put_into_the_cache_by_hand_is_taken_and_recorded(server):
    place = cached_path("x86_64")
    place.parent.mkdir(parents=True)
    place.write_bytes(elf(62))
    binary = find_binary("x86_64", location=server.location)
    assert binary.source == "placed by hand"
    place.write_bytes(elf(62, padding=5000))
    assert find_binary("x86_64", location=server.location).sha256 != binary.sha256
    place.write_bytes(elf(183))
    with pytest.raises(RunnerNotFoundError, match="is for 64-bit ARM"):
        find_binary("x86_64", location=server.location)


def test_a_named_file_comes_first_then_the_variable(server, tmp_path, monkeypatch):
    (tmp_path / "mine").write_bytes(elf())
    (tmp_path / "other").write_bytes(elf(padding=64))
    monkeypatch.setenv("FDI_BENCHMARK_MODEL", str(tmp_path / "other"))
    assert find_binary(ARM64, tmp_path / "mine").source == "--benchmark-model"
    binary = find_binary(ARM64)
    assert (binary.source, binary.path) == ("FDI_BENCHMARK_MODEL", str(tmp_path / "other"))
    with pytest.raises(RunnerNotFoundError, match=r"--benchmark-model names .*nowhere, which cannot be read"):
        find_binary(ARM64, tmp_path / "nowhere")
    with pytest.raises(RunnerNotFoundError, match="is for 64-bit ARM, the phone needs one for 32-bit ARM"):
        find_binary("armeabi-v7a", tmp_path / "mine")
    assert server.asked == []


def test_a_script_that_starts_the_tool_may_be_named(server, tmp_path):
    script = tmp_path / "wrapper.sh"
    script.write_text('#!/system/bin/sh\nexec /data/local/tmp/mine/benchmark_model "$@"\n')
    assert find_binary(ARM64, script).bytes == len(script.read_bytes())


def test_a_cache_that_cannot_be_written_is_a_storage_error(server, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="FDI_CACHE"):
        find_binary(ARM64, location=server.location)


def test_an_unknown_abi_is_named():
    with pytest.raises(RunnerNotFoundError, match=r"'mips'.*expected one of arm64-v8a"):
        check_elf(elf(), "mips", "it")


def test_a_32_bit_file_is_checked_too():
    check_elf(elf(40, 32), "armeabi-v7a", "it")
    with pytest.raises(RunnerNotFoundError, match="cut off"):
        check_elf(elf(40, 32)[:-1], "armeabi-v7a", "it")
