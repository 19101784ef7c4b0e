"""A policy's text is parsed once, not at every request: all of AWS is on one loop here, and each request asks IAM."""

from functools import lru_cache
from typing import Any

from ministack.core import iam_evaluator

from local.emulator.fixes.patching import wrap


def apply() -> None:
    """Remember the statements of the policies that were parsed last."""
    parse = iam_evaluator.parse_policy_document
    remembered = lru_cache(maxsize=1024)(parse)

    def parsed(original: Any, document: Any) -> Any:
        return list(remembered(document)) if isinstance(document, str) else original(document)

    wrap(iam_evaluator, "parse_policy_document", parsed)
