"""What looks like a card number, and what only looks long."""

import pytest

from payments.cards import card_number_in, without_card_numbers

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
