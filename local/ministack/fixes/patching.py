"""How a fix takes hold of a function of MiniStack."""

import functools
from collections.abc import Callable
from typing import Any


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
    """Let `wrapper(original, *args)` stand in for the function `name` of a module or class.

    AttributeError when MiniStack no longer has that function.
    """
    original = getattr(owner, name)

    @functools.wraps(original)
    def replacement(*args: Any, **kwargs: Any) -> Any:
        return wrapper(original, *args, **kwargs)

    setattr(owner, name, replacement)
