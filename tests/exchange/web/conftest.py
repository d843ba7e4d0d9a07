"""The built-in head takes seconds to build; all tests of the page share one."""

from __future__ import annotations

import pytest

from sage_ns.avatar.avatar import Avatar
from tests.exchange.web.web_avatars import builtin_avatar


@pytest.fixture(scope="session")
def builtin_head_avatar() -> Avatar:
    """Shared avatar; tests must not change it."""
    return builtin_avatar()
