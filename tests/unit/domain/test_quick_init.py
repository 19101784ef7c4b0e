"""A quickly made frozen dataclass is the same as one that Python makes."""

import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from payments.domain.quick_init import maker, quick_init


@dataclass(frozen=True, slots=True)
class Plain:
    name: str
    count: int = 3
    notes: dict[str, str] = field(default_factory=dict)
    secret: str = field(default="", repr=False)


@quick_init
@dataclass(frozen=True, slots=True)
class Quick:
    name: str
    count: int = 3
    notes: dict[str, str] = field(default_factory=dict)
    secret: str = field(default="", repr=False)


make = maker(Quick)


@pytest.mark.parametrize("count", [3, 4])
def test_maker_makes_what_the_class_makes(count: int) -> None:
    made = make("a", count, secret="s")
    assert made == Quick("a", count, secret="s")
    assert type(made) is Quick
    assert make("a").notes is not make("a").notes
    with pytest.raises(FrozenInstanceError):
        made.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize("count", [3, 4])
def test_quick_init_sets_what_the_ordinary_one_sets(count: int) -> None:
    plain, quick = Plain("a", count, secret="s"), Quick("a", count, secret="s")
    assert repr(quick) == repr(plain).replace("Plain", "Quick")
    assert (quick.name, quick.count, quick.notes, quick.secret) == ("a", count, {}, "s")
    assert type(quick) is Quick
    assert quick == Quick(name="a", count=count, secret="s") != Quick("b")
    assert Quick("a").notes is not Quick("a").notes
    assert pickle.loads(pickle.dumps(quick)) == quick  # noqa: S301 (our own)


def test_quickly_made_values_are_frozen_and_copied_with_changes() -> None:
    quick = Quick("a", notes={"k": "v"})
    with pytest.raises(FrozenInstanceError):
        quick.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del quick.count
    assert replace(quick, name="b") == Quick("b", 3, {"k": "v"})


@pytest.mark.parametrize("arguments", [(), ("a", 1, {}, "", "too many")])
def test_quick_init_takes_no_other_arguments(arguments: tuple[object, ...]) -> None:
    for made_by in (Quick, make):
        with pytest.raises(TypeError):
            made_by(*arguments)  # type: ignore[arg-type]
