"""Unit tests run on nothing: the network is closed to them."""

from collections.abc import Iterator

import pytest
from pytest_socket import disable_socket, enable_socket


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    # An event loop wakes itself through a unix socket pair; that one stays open.
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
