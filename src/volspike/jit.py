"""How compiled code is compiled: the line scanner, admission, the window kernel, a model's one row.

No fast-math, hence no fused multiply-add: a contracted ``a*b + c`` would change bits. Division by zero is not
trapped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(*signature: str, **options: bool) -> Callable[[F], F]:
    compiler: Any = njit
    decorator = compiler(*signature, fastmath=False, error_model="numpy", **options)

    def decorate(function: F) -> F:
        compiled: F = decorator(function)
        return compiled

    return decorate


def part(function: F) -> F:
    """Compile a part of an entry point, together with it."""
    return _compiled()(function)


def inlined(function: F) -> F:
    """Compile a small part of an entry point, always inlined, so that its tuples never reach memory."""
    return _compiled(forceinline=True)(function)


def entry(signature: str) -> Callable[[F], F]:
    """Compile an entry point at once, or load it from numba's cache on disk.

    The cache notices changes of the entry point's own file only. An entry point must therefore hold
    ``sources_digest`` of everything else it is compiled from in a closure cell, which is part of the cache's
    key: see ``keyed_by``. Where neither the package's directory nor the user's cache directory can be
    written, nothing is cached and every start compiles again; ``NUMBA_CACHE_DIR`` names another place.
    """

    def decorate(function: F) -> F:
        try:
            return _compiled(signature, cache=True)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return _compiled(signature)(function)

    return decorate


@inlined
def keyed_by(digest: int) -> None:
    """Do nothing; but an entry point that names its digest holds it in a closure cell."""


def direct(compiled: Callable[..., Any]) -> Callable[..., Any]:
    """Return an entry point without numba's dispatch on argument types, which costs more than a step.

    The caller answers for the types of the arguments.
    """
    dispatcher: Any = compiled
    function: Callable[..., Any] = dispatcher.overloads[dispatcher.signatures[0]].entry_point
    return function


def address_of(compiled: Callable[..., Any]) -> int:
    """Return the address at which C can call an entry point."""
    dispatcher: Any = compiled
    overload = dispatcher.overloads[dispatcher.signatures[0]]
    address: int = overload.library.get_pointer_to_function(overload.fndesc.llvm_cfunc_wrapper_name)
    return address


def sources_digest(*modules: ModuleType) -> int:
    """Return 60 bits of the sha256 of the modules' source files."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(Path(str(module.__file__)).read_bytes())
    return int(digest.hexdigest()[:15], 16)
