"""The fake store of rows passes the suite that PostgreSQL's passes."""

from collections.abc import Awaitable, Callable

import pytest

from services.profile.handlers.fold_profiles import FactRows
from tests.fakes.fact_rows import FakeFactRows
from tests.support.fact_rows_suite import CHECKS


@pytest.mark.parametrize("check", CHECKS)
async def test_the_fake_keeps_rows_as_the_suite_says(check: Callable[[FactRows], Awaitable[None]]) -> None:
    await check(FakeFactRows())
