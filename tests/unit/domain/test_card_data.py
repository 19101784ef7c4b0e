"""Texts that look like card numbers, and other long numbers."""

import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as some

from payments.domain.card_data import (
    BETWEEN_TEXTS,
    CODE,
    NUMBER,
    PIN,
    TRACK,
    card_data_in,
    card_number_in,
    is_ordinary,
    without_card_numbers,
)
from payments.domain.clock import iso
from tests.cpu import LINEAR, growth

# the test numbers of docs.stripe.com/testing
CARDS = [
    "4242424242424242",
    "4000056655665556",
    "5555555555554444",
    "2223003122003222",
    "5105105105105100",
    "378282246310005",
    "6011111111111117",
    "3056930009020004",
    "36227206271667",
    "6555900000604105",
    "3566002020360505",
    "6200000000000005",
]


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("text", ["{}", "card {} please", "pay_{}", "a{}b"])
def test_card_number_in_when_there_is_one_then_seen_and_removed(card: str, text: str) -> None:
    assert card_number_in(text.format(card))
    assert card not in without_card_numbers(text.format(card))


@pytest.mark.parametrize(
    "text", ["4242 4242 4242 4242", "4242-4242-4242-4242", "3782 822463 10005", "2223 0031 2200 3222"]
)
def test_card_number_in_when_it_is_written_in_groups_then_seen(text: str) -> None:
    assert card_number_in(text)


@pytest.mark.fault(44)
@pytest.mark.parametrize("separator", ["_", ",", ":", ";", "|", "*", "+", "~", "=", "#"])
@pytest.mark.parametrize("groups", [["4242", "4242", "4242", "4242"], ["3782", "822463", "10005"]])
def test_card_number_in_when_grouped_as_on_the_card_then_seen_and_removed(separator: str, groups: list[str]) -> None:
    text = f"pay_{separator.join(groups)}"
    assert card_number_in(text)
    assert not any(group in without_card_numbers(text) for group in groups)


@pytest.mark.parametrize("text", ["4,5,6,7,8,9,10,11,12,13,14", "4242,4242,4242,4241", "pay_2026_1121_1637_0000"])
def test_card_number_in_when_other_numbers_are_listed_then_let_through(text: str) -> None:
    assert not card_number_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242424242424241",
        "1795278942",
        "one1795278942123456786",
        "2026112116370000",
        "order 17-000-000-000-000-00",
        "42424242424242424242424242424242",
        "0000000000000000",
    ],
)
def test_card_number_in_when_digits_are_only_many_then_let_through(text: str) -> None:
    assert not card_number_in(text)
    assert without_card_numbers(text) == text


# Every notation ---------------------------------------------------------------------------------------------

GROUPS = ["4242", "4242", "4242", "4242"]


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "separator",
    [
        *(" ", "  ", "-", " - ", ".", "/", "\t", "\n"),
        *(
            "\N{NO-BREAK SPACE}",
            "\N{NARROW NO-BREAK SPACE}",
            "\N{THIN SPACE}",
            "\N{IDEOGRAPHIC SPACE}",
            "\N{ZERO WIDTH SPACE}",
            "\N{ZERO WIDTH NON-JOINER}",
            "\N{WORD JOINER}",
            "\N{ZERO WIDTH NO-BREAK SPACE}",
            "\N{SOFT HYPHEN}",
            "\N{NON-BREAKING HYPHEN}",
            "\N{EN DASH}",
            "\N{MINUS SIGN}",
            "\N{FULLWIDTH FULL STOP}",
            "\N{MIDDLE DOT}",
            "\N{FULLWIDTH SOLIDUS}",
            "\N{DIVISION SLASH}",
        ),
    ],
)
def test_card_number_with_separated_digits_is_found_and_removed(separator: str) -> None:
    for text in (separator.join(GROUPS), separator.join("4242424242424242")):
        assert card_number_in(f"on {text}, please")
        assert without_card_numbers(f"on {text}, please") == "on [card number removed], please"


@pytest.mark.fault(44)
@pytest.mark.parametrize("zero", ["０", "٠", "०", "⁰", "₀", "\U0001d7ce", "\U0001d7f6"])
def test_card_number_in_digits_of_another_script_is_found_and_removed(zero: str) -> None:
    digits = {
        str(unicodedata.digit(chr(code))): chr(code) for code in range(0x1FFFF) if _of_the_script(chr(code), zero)
    }
    text = "".join(digits[digit] for digit in "4242424242424242")
    assert card_number_in(text)
    assert without_card_numbers(f"x {text} y") == "x [card number removed] y"


def _of_the_script(character: str, zero: str) -> bool:
    name, of_zero = unicodedata.name(character, ""), unicodedata.name(zero)
    return unicodedata.digit(character, -1) >= 0 and name.rsplit(" ", 1)[0] == of_zero.rsplit(" ", 1)[0]


@pytest.mark.fault(44)
@pytest.mark.parametrize("text", ["㊷" * 8, "④②" * 8, "4\ufe0f\u20e32\ufe0f\u20e3" * 8])
def test_card_number_in_when_its_digits_are_signs_then_seen_and_removed(text: str) -> None:
    assert card_number_in(text)
    assert without_card_numbers(f"é{text}é") in ("é[card number removed]é", "é[card number removed]\ufe0f\u20e3é")


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "text",
    [
        "4242424242424242 123",
        "4242 4242 4242 4242 12/29",
        "55 4242 4242 4242 4242",
        "2026-11-21 4242424242424242",
        "3 4242-4242-4242-4242 5",
    ],
)
def test_card_number_in_when_other_digits_stand_beside_it_then_seen(text: str) -> None:
    assert card_number_in(text)
    assert "4242" not in without_card_numbers(text)


# Codes and names ---------------------------------------------------------------------------------------------------


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "text",
    [
        "cvv 123",
        "CVC: 1234",
        "cvv2=123",
        "the CVV is 123.",
        "CVC2 - 1234",
        "cvv123",
        "my cvv code: 123",
        "card-cvv: 123",
        "Security Code 123",
        "card verification value: 123",
        "ｃｖｖ １２３",
        '{"cvv": "123"}',
    ],
)
def test_card_data_in_when_a_code_stands_in_a_text_then_seen_and_removed(text: str) -> None:
    assert card_data_in(text) == CODE
    assert not card_data_in(without_card_numbers(text))


@pytest.mark.parametrize(
    "text",
    ["cvv", "the cvv matched", "cvv 12", "cvv 12345", "room 123", "postcode 1234", "zip code 1234", "abccvv 123"],
)
def test_card_data_in_when_there_is_no_code_then_let_through(text: str) -> None:
    assert card_data_in(text) == ""
    assert without_card_numbers(text) == text


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    ("name", "looks"),
    [
        *((name, CODE) for name in ("cvv", "CVC", "cvv2", "Card-CVV", "cardCvc", "csc", "CSC", "c_v_v", "cvv_code")),
        *((name, CODE) for name in ("security_code", "securityCode", "card_security_code", "Card Security Code")),
        *((name, NUMBER) for name in ("pan", "PAN", "card_number", "cardNumber", "Card Number", "ｐａｎ")),
        *((name, TRACK) for name in ("track_data", "trackData", "track2")),
        *((name, PIN) for name in ("pin", "PIN", "pin_block")),
    ],
)
def test_card_data_in_when_a_name_says_so_then_seen_wherever_it_stands(name: str, looks: str) -> None:
    for value in ({name: "x"}, {name: None}, {"a": [{"b": {name: 1}}]}):
        assert card_data_in(value) == looks
    assert "1234" not in without_card_numbers(f'{{"{name}": "1234", "order": "A-17"}}')
    assert "A-17" in without_card_numbers(f'{{"{name}": "1234", "order": "A-17"}}')


@pytest.mark.parametrize(
    "name",
    ["order", "company", "pan_european", "pin_code", "spin", "shipping", "code", "track", "card", "number", "discount"],
)
def test_card_data_in_when_a_name_is_another_then_let_through(name: str) -> None:
    assert card_data_in({name: "17"}) == ""


@pytest.mark.fault(44)
@pytest.mark.parametrize(
    "value",
    [
        "4242424242424242",
        4242424242424242,
        Decimal("4242424242424242.0"),
        ["a", ["4242424242424242"]],
        {"a": {"b": [1, {"c": "4242 4242 4242 4242"}]}},
        {"4242424242424242": 1},
        {"a": {"4242-4242-4242-4242": {}}},
        {"42424242": "42424242"},
        {"card 4242 4242": "4242 4242"},
        {"4242": 424242424242},
    ],
)
def test_card_data_in_finds_a_number_anywhere_without_repeating_it(value: Any) -> None:
    assert card_data_in(value) == NUMBER


@pytest.mark.parametrize(
    "value", ["", None, True, 7, [], {}, {"line_4": "242424242424242"}, {"a": "4242", "b": "4242"}]
)
def test_card_data_in_when_there_is_none_then_empty(value: Any) -> None:
    assert card_data_in(value) == ""


def test_card_data_in_finds_a_number_nested_beyond_the_recursion_limit() -> None:
    value: Any = "4242424242424242"
    for _ in range(20_000):
        value = [value]
    assert card_data_in(value) == NUMBER


def test_card_data_in_when_a_whole_body_is_digits_then_still_quick() -> None:
    """64 KB of digits, each on its own: work grows with the length and not with its square."""
    assert growth(lambda digits: card_data_in("5 " * digits), 32_000) < LINEAR


@pytest.mark.parametrize(
    "worst",
    [
        lambda size: "4000000000000 " + "-" * size,  # took 12 s with 12 KB
        lambda size: "4000000000000 " + "1-" * size,
        lambda size: "4000000000000 " + "-1 " * size,
        lambda size: "4000000000000 " + "+1-2" * size,
        lambda size: "4000000000000 " + "4.1234567890" * (size // 8),
        lambda size: "4000000000000 " + "1234-5678-" * (size // 8),
        lambda size: "4" * size,
        lambda size: "4242 4242 4242 424 " * (size // 8),
        lambda size: "4242_" * size,
        lambda size: "cvv " * size,
        lambda size: "security code is " * size,
        lambda size: '"' * size,
        lambda size: '"a"' + " " * size,
        lambda size: '"a" ' * size,
        lambda size: '"a":' + " " * size,
        lambda size: '"cvv": "' + "\\\\" * size,
        lambda size: '"cvv":' * size,
        lambda size: "\u33e8\ufb03" * size,
        lambda size: "\N{FULLWIDTH DIGIT FOUR}-" * size,
    ],
)
def test_card_data_search_takes_linear_time_on_its_worst_texts(worst: Callable[[int], str]) -> None:
    def search(size: int) -> None:
        text = worst(size)
        card_data_in({text: text})
        without_card_numbers(text)

    assert growth(search, 8_000) < LINEAR


# The quick pass ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["pay_00000001", "Straße 12, München", "注文 17", "é\N{EN DASH}€ 12.00", "a" * 500])
def test_is_ordinary_lets_usual_texts_through(text: str) -> None:
    assert is_ordinary(text)


def test_is_ordinary_stops_characters_that_stand_for_a_digit() -> None:
    """ß is let through: it is folded to ss, which is in no word for a card code."""
    let_through = {
        character
        for character in map(chr, range(128, 0x10000))
        if is_ordinary(character)
        and (
            unicodedata.digit(character, -1) >= 0
            or any(c.isascii() and c.isalnum() for c in unicodedata.normalize("NFKC", character).casefold())
        )
    }
    assert let_through == {"ß"}
    assert not any(map(is_ordinary, ("\U0001d7ce", "\U0001d41a", "\U0001f100", "\ud800")))


_ANY_TEXT = some.text(max_size=60) | some.text(alphabet='4242 -.cv"１é–\u200b%,x\t{}㊷', max_size=60)


@given(_ANY_TEXT, _ANY_TEXT)
def test_is_ordinary_only_lets_through_what_the_careful_check_does(one: str, other: str) -> None:
    if is_ordinary(f"{one}{BETWEEN_TEXTS}{other}"):
        for text in (one, other):
            assert not card_number_in(text)
            assert '"' in text or without_card_numbers(f'"{text}') == f'"{text}'  # the quote asks for the careful check


@given(some.sampled_from(CARDS), some.text(alphabet=" -./_,:%é\u200b\u00a0", max_size=2), some.integers(0, 12))
def test_is_ordinary_stops_a_card_number_in_any_notation(card: str, separator: str, shift: int) -> None:
    assert not is_ordinary(separator.join(card))
    wide = "".join(chr(ord("０") + int(digit)) for digit in card)
    assert not is_ordinary(card[:shift] + wide[shift:])


# False alarms ------------------------------------------------------------------------------------------------------

LETTERS = some.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DATES = some.dates(min_value=date(2000, 1, 1), max_value=date(2099, 12, 31))


@given(some.uuids())
def test_card_data_in_when_it_is_a_uuid_then_let_through(made: UUID) -> None:
    assert card_data_in([str(made), {"id": f"pay_{made.hex}"}, f"order {str(made).upper()}"]) == ""


@given(some.integers(0, 10**15).map(lambda micros: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)))
def test_card_data_in_when_it_is_a_time_then_let_through(moment: datetime) -> None:
    assert card_data_in([moment.isoformat(), str(moment), {"at": iso(moment)}]) == ""


@given(some.tuples(LETTERS, DATES, some.integers(0, 99_999)))
def test_card_data_in_when_it_is_an_order_number_of_a_day_then_let_through(order: tuple[str, date, int]) -> None:
    letter, day, number = order
    assert card_data_in([f"{letter}-{number}", f"{day:%Y%m%d}-{number:05}", f"{letter}{day:%Y}-{number}"]) == ""


@given(some.integers(1, 999), some.integers(10**6, 10**11))
def test_card_data_in_when_it_is_a_telephone_number_then_let_through(country: int, number: int) -> None:
    assert card_data_in([f"+{country}{number}", f"+{country} {str(number)[:3]} {str(number)[3:]}"]) == ""


def test_card_data_in_when_digits_are_random_then_few_are_refused() -> None:
    """One in ten numbers passes the Luhn check, and not half of them begin like a card's."""
    numbers = [str(Random(seed).randrange(10**15, 10**16)) for seed in range(4000)]
    assert sum(bool(card_data_in(number)) for number in numbers) < 0.06 * len(numbers)


@given(some.text(max_size=60))
def test_without_card_numbers_leaves_no_card_data_in_any_text(text: str) -> None:
    assert card_data_in(without_card_numbers(text)) == ""


@given(some.text(alphabet='42 -.cv"１{}:', max_size=60))
def test_without_card_numbers_keeps_near_misses_and_removes_card_data(text: str) -> None:
    assert card_data_in(without_card_numbers(text)) == ""
    if not card_data_in(text) and '"' not in text:
        assert without_card_numbers(text) == text
