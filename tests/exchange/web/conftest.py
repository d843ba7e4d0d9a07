"""The built-in head takes seconds to build: one for all tests of the page."""

from __future__ import annotations

import pytest

from sage_ns.avatar.avatar import Avatar
from tests.exchange.web.web_avatars import builtin_avatar


@pytest.fixture(scope="session")
def builtin_head_avatar() -> Avatar:
    """Not to be changed by tests."""
    return builtin_avatar()
