"""Frozen dataclasses that are made as quickly as others. The splitter makes several of them for each row of a file."""

from dataclasses import MISSING, fields
from typing import Any

_SET = object.__setattr__


def quick_init[T](cls: type[T]) -> type[T]:
    """Give a frozen dataclass with slots the `__init__` that it would have if it was not frozen, a third of the time.

    Python's own sets each field by a call of `object.__setattr__`. This one sets them as ordinary attributes while the
    new object, which nothing else knows yet, is of a subclass that is not frozen.
    """
    unfrozen = type(cls.__name__, (cls,), {"__slots__": (), "__setattr__": _SET, "__delattr__": object.__delattr__})
    known: dict[str, Any] = {"_set": _SET, "_unfrozen": unfrozen, "_frozen": cls, "_missing": MISSING}
    parameters, body = ["self"], ['_set(self, "__class__", _unfrozen)']
    for field in fields(cls):  # type: ignore[arg-type]
        name, default = field.name, ""
        if field.default is not MISSING:
            known[f"_default_{name}"], default = field.default, f"=_default_{name}"
        elif field.default_factory is not MISSING:
            known[f"_make_{name}"], default = field.default_factory, "=_missing"
            body.append(f"if {name} is _missing: {name} = _make_{name}()")
        parameters.append(name + default)
        body.append(f"self.{name} = {name}")
    body.append("self.__class__ = _frozen")
    exec(f"def __init__({', '.join(parameters)}):\n " + "\n ".join(body), known)  # noqa: S102
    cls.__init__ = known["__init__"]  # type: ignore[method-assign]
    return cls
