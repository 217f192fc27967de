"""What models that learn have learned, kept by a live job for its next start.

learned/<product>.json      of the model that serves, the one in its shadow, and the one that served before;
                            written whole or not at all

With stages of their own it is part of the state of ``score``. Here a crash costs what was learned since the
last writing, minutes of it: labels teach again as they come.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from volspike.errors import ModelError
from volspike.logs import get_logger
from volspike.models.shelf import replace_file, writing
from volspike.scoring.scorer import Scorer

log = get_logger()


def keep_learned(directory: Path, product: str, scorer: Scorer) -> None:
    """Write what a product's models have learned; nothing where none learns, or the disk refuses: logged."""
    learned = scorer.learned
    if not learned:
        return
    path = directory / f"{product}.json"
    try:
        with writing(path):
            directory.mkdir(exist_ok=True)
            replace_file(path, json.dumps(learned).encode())
    except ModelError as error:
        log.error("what was learned is not kept", product=product, reason=str(error))


def resume_learned(directory: Path, product: str, scorer: Scorer) -> None:
    """Have a product's models go on from what was kept; what can't be used is logged: nothing is learned."""
    path = directory / f"{product}.json"
    try:
        kept = _kept(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        log.warning("what was learned can't be read", path=str(path), reason=str(error))
        return
    scorer.resume_learning(kept)


def _kept(found: Any) -> dict[str, Any]:
    """Return what ``Scorer.resume_learning`` takes."""
    # Written before the previous model's was kept, it is by version alone.
    kept = found if isinstance(found, dict) and "learned" in found else {"learned": found}
    learned = kept["learned"]
    if not isinstance(learned, dict) or not all(isinstance(each, dict) for each in learned.values()):
        raise ValueError("it is no JSON object of objects")
    if not all(isinstance(kept.get(name, ""), str) for name in ("served", "previous")):
        raise ValueError("it names no versions")
    return kept
