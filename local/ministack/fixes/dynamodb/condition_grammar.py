"""The grammar of a condition is checked once, not for every write that has it: a tenth of the local AWS's time."""

from functools import lru_cache

from ministack.services import dynamodb


def apply() -> None:
    dynamodb._condition_syntax_error = lru_cache(maxsize=1024)(dynamodb._condition_syntax_error)
