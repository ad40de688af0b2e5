"""Fixtures for every test that needs a phone; ``tests/conftest.py`` imports them."""

from __future__ import annotations

import contextlib

import pytest

from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.devices.adb.program import find_adb
from fdi_keras.errors import DeviceError

from .adb_server import RealAdbServer
from .phone import StandInPhone


@pytest.fixture(scope="session")
def adb_program():
    """Path of a real adb; tests that need one are skipped without."""
    try:
        return find_adb()
    except DeviceError as error:
        pytest.skip(f"needs adb: {error}")


@pytest.fixture(scope="session")
def adb_server(adb_program, tmp_path_factory):
    """A real adb server that all tests share; not to be killed."""
    with RealAdbServer(tmp_path_factory.mktemp("adb")) as server:
        yield server


@pytest.fixture
def own_adb_server(adb_server, tmp_path):
    """A real adb server of this test alone, to be killed as it likes."""
    with RealAdbServer(tmp_path / "own-adb", home=adb_server.home) as server:
        yield server


@pytest.fixture
def make_phone(adb_server, tmp_path):
    """``make_phone(name, cable=True, server=..., **options)``: a phone that is plugged in, with ``serial``."""
    with contextlib.ExitStack() as stack:

        def make(name="phone", cable=True, server=adb_server, **options):
            phone = stack.enter_context(StandInPhone(tmp_path / name, **options))
            phone.serial = phone.attach(server.port, cable)
            return phone

        yield make


@pytest.fixture
def phone(make_phone):
    """A phone that is plugged in; its serial is ``phone.serial``."""
    return make_phone()


@pytest.fixture
def link(phone, adb_server):
    """The way to :func:`phone`."""
    return PhoneLink(phone.serial, adb_server.server)
