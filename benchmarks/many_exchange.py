"""``python -m benchmarks.many_exchange PRODUCTS TICKS_PER_S READY_FILE``: the exchange of ``scale``."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from benchmarks.exchange_process import serve
from benchmarks.many_products import ManyProducts
from benchmarks.trained import SEED

if __name__ == "__main__":
    _market = ManyProducts(SEED, int(sys.argv[1]), float(sys.argv[2]))
    asyncio.run(serve(_market, 1.0, Path(sys.argv[3])))
