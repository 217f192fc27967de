"""The compiled engine of the set ``flow``: a window engine, and the flow window beside it."""

from __future__ import annotations

from typing import Any

from volspike.features.flow_memory import new_memory
from volspike.features.held_ticks import FLOW_TICKS
from volspike.features.memory import Words
from volspike.features.two_windows import TwoWindowEngine


class FlowEngine(TwoWindowEngine):
    """The compiled flow engine: same interface and same bits as ``flow.PureFlowEngine``.

    Parameters and errors are those of ``TwoWindowEngine``.
    """

    _window = "flow"
    _held = FLOW_TICKS

    def _kernel(self) -> Any:
        from volspike.features import kernel_flow

        return kernel_flow

    def _new_memory(self, capacity: int) -> Words:
        return new_memory(capacity)
