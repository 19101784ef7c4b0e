"""Frozen dataclasses that are made as quickly as others. The splitter makes several of them for each row of a file."""

from dataclasses import MISSING, fields
from typing import Any

_SET = object.__setattr__


def quick_init[T](cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots the `__init__` that it would have if it was not frozen, a third of the time.

    Python's own sets each field by a call of `object.__setattr__`. This one sets them as ordinary attributes while the
    new object, which nothing else knows yet, is of a subclass that is not frozen.
    """
    parameters, body, known = _code(cls)
    first = '_set(self, "__class__", _unfrozen)'
    exec(f"def __init__(self, {parameters}):\n {first}\n {body}", known)  # noqa: S102
    cls.__init__ = known["__init__"]  # type: ignore[method-assign]
    return cls


def maker[T](cls: type[T]) -> type[T]:
    """A function that makes the same objects from the same arguments, in half the time that calling the class takes:
    Python calls no `__init__`, whose arguments it would pass on in a tuple and a dictionary.

    Its type is that of the class, so that its arguments are checked.
    """
    parameters, body, known = _code(cls)
    exec(f"def make({parameters}):\n self = _new(_unfrozen)\n {body}\n return self", known)  # noqa: S102
    made: type[T] = known["make"]
    return made


def _code(cls: type) -> tuple[str, str, dict[str, Any]]:
    """The parameters of a dataclass, the statements that set the fields of `self`, and the names that both use."""
    unfrozen = type(cls.__name__, (cls,), {"__slots__": (), "__setattr__": _SET, "__delattr__": object.__delattr__})
    known: dict[str, Any] = {"_set": _SET, "_new": object.__new__, "_unfrozen": unfrozen, "_frozen": cls}
    known["_missing"] = MISSING
    parameters, body = [], []
    for field in fields(cls):
        name, default = field.name, ""
        if field.default is not MISSING:
            known[f"_default_{name}"], default = field.default, f"=_default_{name}"
        elif field.default_factory is not MISSING:
            known[f"_make_{name}"], default = field.default_factory, "=_missing"
            body.append(f"if {name} is _missing: {name} = _make_{name}()")
        parameters.append(name + default)
        body.append(f"self.{name} = {name}")
    body.append("self.__class__ = _frozen")
    return ", ".join(parameters), "\n ".join(body), known
