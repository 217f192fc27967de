"""What numba keeps on disk is used again only for the very sources it was made from."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import pytest
from numba.core import caching

from volspike.features import (
    admission_kernel,
    builtin,
    kernel,
    kernel_block,
    kernel_flow,
    kernel_flow_sums,
    kernel_grid,
    kernel_sums,
    kernel_trade,
    wide,
)
from volspike.features.regime import kernel as regime_kernel
from volspike.features.regime import kernel_shape
from volspike.jit import direct, entry, sources_digest
from volspike.recording import checksum, program, scanned_numbers, scanner, wire_bytes

# Of what these modules import, no compiled code is made.
NOT_COMPILED = {"frame", "reader"}


@pytest.mark.parametrize(
    ("sources", "modules"),
    [
        (kernel.SOURCES, (builtin, kernel, kernel_block, kernel_grid, kernel_sums, wide)),
        (kernel_flow._SOURCES, (kernel_flow, kernel_flow_sums)),
        (kernel_trade._SOURCES, (kernel_trade, kernel_flow_sums)),
        (scanner._SOURCES, (checksum, program, scanned_numbers, scanner, wire_bytes)),
        (admission_kernel._SOURCES, (admission_kernel, wire_bytes)),
        (regime_kernel._SOURCES, (regime_kernel, kernel_shape, wide)),
    ],
    ids=["kernel", "flow", "trade", "scanner", "admission", "regime"],
)
def test_a_cache_is_keyed_by_all_that_its_code_is_compiled_from(
    sources: Sequence[ModuleType], modules: Sequence[ModuleType]
) -> None:
    named = {module.__name__.rpartition(".")[2] for module in sources}
    imports = re.compile(r"^from volspike\.(?:\w+\.)*(\w+) import", re.MULTILINE)
    for module in modules:
        imported = set(imports.findall(inspect.getsource(module)))
        assert imported - {"features", "recording", "regime"} - NOT_COMPILED <= named


@pytest.mark.parametrize(
    ("compiled", "sources"),
    [(scanner.scan, scanner._SOURCES), (admission_kernel.admit, admission_kernel._SOURCES)],
    ids=["scanner", "admission"],
)
def test_an_entry_point_holds_the_digest_of_its_sources(compiled: Any, sources: Sequence[ModuleType]) -> None:
    held = inspect.getclosurevars(compiled.py_func).nonlocals
    assert held["digest"] == sources_digest(*sources)
    assert sources_digest(*sources) != sources_digest(*sources[1:])


def test_where_no_cache_can_be_written_an_entry_point_is_compiled_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def twice(x: int) -> int:
        return 2 * x

    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    uncached = entry("int64(int64)")(twice)
    assert uncached.stats.cache_path is None
    assert direct(uncached)(21) == 42
