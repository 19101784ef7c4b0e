"""The part of CloudWatch's metric math that alarms use: arithmetic, comparisons, AND, OR, IF, FILL, SUM, AVG, MIN, MAX.

Each metric has one number, or None (no data), per period. Arithmetic with None gives None, as in CloudWatch.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import operator
import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any, Final

type Value = float | None

ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: lambda left, right: left / right if right else None,
    ast.Pow: operator.pow,
}
COMPARISONS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
AGGREGATES: Final[dict[str, Callable[[list[float]], float]]] = {
    "SUM": sum,
    "AVG": statistics.fmean,
    "MIN": min,
    "MAX": max,
}
# CloudWatch's operators in Python's syntax
SPELLING: Final = ((r"&&|\bAND\b", " and "), (r"\|\||\bOR\b", " or "), (r"\^", "**"))


def evaluate(name: str, metrics: Mapping[str, Value], expressions: Mapping[str, str]) -> Value:
    """The value of a metric or expression by its id. Raises ValueError for an unsupported expression."""
    if name in metrics:
        return metrics[name]
    if name not in expressions:
        raise ValueError(f"unknown metric {name}")
    text = expressions[name]
    for theirs, ours in SPELLING:
        text = re.sub(theirs, ours, text)
    return _Evaluation(metrics, expressions).visit(ast.parse(text.strip(), mode="eval").body)


class _Evaluation:
    def __init__(self, metrics: Mapping[str, Value], expressions: Mapping[str, str]) -> None:
        self.metrics = metrics
        self.expressions = expressions

    def visit(self, node: ast.AST) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name):
                return evaluate(name, self.metrics, self.expressions)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return _apply(operator.sub, 0, self.visit(operand))
            case ast.BinOp(left=left, op=symbol, right=right) if type(symbol) in ARITHMETIC:
                return _apply(ARITHMETIC[type(symbol)], self.visit(left), self.visit(right))
            case ast.Compare(left=left, ops=[symbol], comparators=[right]) if type(symbol) in COMPARISONS:
                return _apply(COMPARISONS[type(symbol)], self.visit(left), self.visit(right))
            case ast.BoolOp(op=symbol, values=operands):
                truths = [bool(self.visit(operand)) for operand in operands]
                return float(all(truths) if isinstance(symbol, ast.And) else any(truths))
            case ast.Call(func=ast.Name(id=function), args=arguments):
                return self.call(function, arguments)
        raise ValueError(f"metric math not supported here: {ast.unparse(node)}")

    def call(self, function: str, arguments: list[ast.expr]) -> Value:
        match function, arguments:
            case "IF", [condition, then, otherwise]:
                return self.visit(then if self.visit(condition) else otherwise)
            case "FILL", [metric, filler]:
                value = self.visit(metric)
                return self.visit(filler) if value is None else value
            case name, [ast.Call(func=ast.Name(id="METRICS"))] if name in AGGREGATES:
                values = list(self.metrics.values())
            case name, [ast.List(elts=items)] if name in AGGREGATES:
                values = [self.visit(item) for item in items]
            case _:
                raise ValueError(f"metric math not supported here: {function}")
        known = [value for value in values if value is not None]
        return AGGREGATES[function](known) if known else None


def _apply(function: Callable[[Any, Any], Any], left: Value, right: Value) -> Value:
    if left is None or right is None:
        return None
    result = function(left, right)
    return None if result is None else float(result)
