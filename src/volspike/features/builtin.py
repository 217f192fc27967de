"""Builtin functions of Python made of compiled code.

Numba checks and converts the arguments of a call one by one, which costs more than a window step. A builtin
of the ``METH_FASTCALL`` kind gets them as they are: as the address of an array of Python objects. Everything
called here is part of CPython's stable ABI.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from numba import types

from volspike.features.wide import load, load_float
from volspike.jit import inlined

_METH_FASTCALL = 0x0080


def _c_function(name: str, result: Any, *arguments: Any) -> Callable[..., int]:
    function: Callable[..., int] = types.ExternalFunction(name, result(*arguments))
    return function


# Python objects are addresses here; 0 is an error that has been raised.
_to_int = _c_function("PyLong_AsLongLong", types.int64, types.int64)
_to_float = _c_function("PyFloat_FromDouble", types.int64, types.float64)
_raised = _c_function("PyErr_Occurred", types.int64)
_new_tuple = _c_function("PyTuple_New", types.int64, types.int64)
_set_item = _c_function("PyTuple_SetItem", types.int32, types.int64, types.int64, types.int64)
_get_item = _c_function("PyTuple_GetItem", types.int64, types.int64, types.int64)
_call = _c_function("PyObject_Vectorcall", types.int64, types.int64, types.int64, types.int64, types.int64)


@inlined
def six_integers(arguments: int) -> tuple[bool, int, int, int, int, int, int]:
    """Return whether six arguments are integers of 64 bits, and the integers; if not, an error is raised."""
    a, b, c = _to_int(load(arguments, 0)), _to_int(load(arguments, 1)), _to_int(load(arguments, 2))
    d, e, f = _to_int(load(arguments, 3)), _to_int(load(arguments, 4)), _to_int(load(arguments, 5))
    return _raised() == 0, a, b, c, d, e, f


@inlined
def nine_integers(arguments: int) -> tuple[bool, int, int, int, int, int, int, int, int, int]:
    """Return the same of nine arguments."""
    valid, a, b, c, d, e, f = six_integers(arguments)
    g, h, i = 0, 0, 0
    if valid:
        g, h, i = _to_int(load(arguments, 6)), _to_int(load(arguments, 7)), _to_int(load(arguments, 8))
    return valid and _raised() == 0, a, b, c, d, e, f, g, h, i


@inlined
def tuple_of_floats(values: tuple[float, ...], count: int) -> int:
    """Return the first ``count`` of some floats as a Python tuple."""
    made = _new_tuple(count)
    if made != 0:
        for i in range(count):
            _set_item(made, i, _to_float(values[i]))
    return made


@inlined
def tuple_of_words(address: int, count: int) -> int:
    """Return the floats at an address as a Python tuple."""
    made = _new_tuple(count)
    if made != 0:
        for i in range(count):
            _set_item(made, i, _to_float(load_float(address, i)))
    return made


@inlined
def bound_integer(bound: int) -> int:
    """Return the integer that a builtin was made with."""
    return _to_int(_get_item(bound, 0))


@inlined
def call_instead(bound: int, arguments: int, count: int) -> int:
    """Return what the Python function that a builtin was made with makes of the arguments."""
    return _call(_get_item(bound, 1), arguments, count, 0)


class _MethodDef(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


class BuiltinMaker:
    """Makes builtins that share their code.

    Parameters
    ----------
    name : str
        What the builtins are called.
    address : int
        The code: a C function of the tuple a builtin was made with, the address of its arguments and their
        number, which returns an object or 0.
    """

    def __init__(self, name: str, address: int) -> None:
        # Every builtin points to this structure.
        self._definition = _MethodDef(name.encode(), address, _METH_FASTCALL, None)
        kind = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
        self._make = kind(("PyCFunction_NewEx", ctypes.pythonapi))

    def make(self, integer: int, instead: Callable[..., Any]) -> Callable[..., Any]:
        """Return a builtin bound to an integer and to a Python function for what the code does not take."""
        made: Callable[..., Any] = self._make(
            ctypes.addressof(self._definition), (integer, instead, self), None
        )
        return made
