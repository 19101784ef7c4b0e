"""Replaces functions of MiniStack."""

import functools
from collections.abc import Callable
from typing import Any


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Replace the function `name` of a module or class by `wrapper(original, *args)`.

    Raises AttributeError if MiniStack no longer has this function.
    """
    original = getattr(owner, name)

    @functools.wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, replacement)


def replace(owner: Any, name: str, replacement: Any) -> None:
    """Replace a function or variable of a module, without the cost of a wrapper.

    Raises AttributeError if MiniStack no longer has this name.
    """
    getattr(owner, name)
    setattr(owner, name, replacement)
