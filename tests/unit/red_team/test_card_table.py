"""What looks like a card number and is none, and what is one and hides: a table of both kinds, with their rates."""

from collections.abc import Callable
from random import Random
from urllib.parse import quote

import pytest

from payments.application.batch.file import BatchFile, Row
from payments.domain.card_data import NUMBER, card_data_in, is_ordinary, without_card_numbers
from payments.domain.card_issuers import LENGTHS_OF, is_card_number
from payments.domain.self_checking import IBAN_LENGTHS
from payments.rest.http import Problem
from payments.rest.tokens import parse_token_request

# What is none -----------------------------------------------------------------------------------------------------

SAMPLES = 2_000


def digits(random: Random, count: int) -> str:
    return "".join(random.choices("0123456789", k=count))


def grouped(text: str, size: int, separator: str = " ") -> str:
    return separator.join(text[at : at + size] for at in range(0, len(text), size))


def iban(random: Random, country: str) -> str:
    """An IBAN of digits, which look most like a card number."""
    account = digits(random, IBAN_LENGTHS[country] - 4)
    return f"{country.upper()}{_check(account, country)}{account}"


def creditor_reference(random: Random) -> str:
    """ISO 11649."""
    number = digits(random, random.randint(9, 21))
    return f"RF{_check(number, 'rf')}{number}"


def _check(number: str, letters: str) -> str:
    return f"{98 - int(number + ''.join(str(int(letter, 36)) for letter in letters) + '00') % 97:02}"


def any_iban(random: Random) -> str:
    return iban(random, random.choice(list(IBAN_LENGTHS)))


def ean(random: Random) -> str:
    number = digits(random, 12)
    return number + str(-(sum(map(int, number[::2])) + 3 * sum(map(int, number[1::2]))) % 10)


def parcel(random: Random) -> str:
    number = f"94{digits(random, 19)}"
    weighted = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(number))
    return number + str(-weighted % 10)


def day(random: Random) -> str:
    return f"20{random.randrange(20, 40)}{random.randint(1, 12):02}{random.randint(1, 28):02}"


OTHER_KINDS: dict[str, tuple[Callable[[Random], str], float]] = {
    "IBAN in groups": (lambda r: grouped(any_iban(r), 4), 0),
    "IBAN in groups with dashes": (lambda r: grouped(any_iban(r), 4, "-"), 0),
    "IBAN in one piece": (any_iban, 0),
    "IBAN in a sentence": (lambda r: f"from {grouped(any_iban(r), 4)} to {any_iban(r)}, invoice 4711", 0),
    "creditor reference in groups": (lambda r: grouped(creditor_reference(r), 4), 0),
    "creditor reference in one piece": (creditor_reference, 0),
    "article number": (ean, 0),
    "Swiss QR reference": (lambda r: grouped(digits(r, 27)[::-1], 5)[::-1], 0),
    "long reference in groups of four": (lambda r: grouped(digits(r, 32), 4), 0.01),
    "long reference in groups of five": (lambda r: grouped(digits(r, 40), 5), 0.01),
    "list of single digits": (lambda r: ",".join(digits(r, 40)), 0.01),
    "order number with a day": (lambda r: f"{day(r)}-{digits(r, 5)}", 0),
    "order number with a day in one piece": (lambda r: f"ORD{day(r)}{digits(r, 8)}", 0.001),
    "order number in three parts": (lambda r: f"{digits(r, 3)}-{digits(r, 7)}-{digits(r, 7)}", 0),
    "order number in uneven parts": (lambda r: f"{digits(r, 5)}/{digits(r, 3)}/{digits(r, 7)}", 0),
    "invoice of a customer": (lambda r: f"{digits(r, 6)} {digits(r, 8)} {digits(r, 3)}", 0),
    "years in a sentence": (lambda r: " and ".join(day(r)[:4] for _ in range(6)), 0),
    "numbers in a sentence": (lambda r: " pieces, ".join(digits(r, r.randint(1, 5)) for _ in range(8)), 0.01),
    "telephone number": (lambda r: f"+{r.randint(1, 99)} {digits(r, 3)} {digits(r, 8)}", 0),
    "milliseconds": (lambda r: str(r.randrange(1_600_000_000_000, 1_900_000_000_000)), 0),
    "microseconds": (lambda r: str(r.randrange(16 * 10**14, 19 * 10**14)), 0),
    "base 36": (lambda r: "".join(r.choices("0123456789abcdefghijklmnopqrstuvwxyz", k=40)), 0.001),
    "hash": (lambda r: "".join(r.choices("0123456789abcdef", k=32)), 0),
    "IMEI": (lambda r: "35" + digits(r, 13), 0),
    # one in ten has the checksum, and one in three a prefix: nothing else tells them from a card number
    "16 digits": (lambda r: digits(r, 16), 0.045),
    "16 digits in groups": (lambda r: grouped(digits(r, 16), 4), 0.045),
    "20 digits in groups": (lambda r: grouped(digits(r, 20), 4), 0.09),
    "24 digits in groups": (lambda r: grouped(digits(r, 24), 4), 0.045),
    "28 digits in groups": (lambda r: grouped(digits(r, 28), 4), 0.02),
    "parcel of USPS in groups": (lambda r: grouped(parcel(r), 4), 0),
    "list of numbers of four digits": (lambda r: ", ".join(digits(r, 4) for _ in range(12)), 0.02),
    "list of pairs": (lambda r: " ".join(digits(r, 2) for _ in range(20)), 0.01),
    "years of a report": (lambda r: ", ".join(day(r)[:4] for _ in range(8)), 0),
    "14 digits": (lambda r: digits(r, 14), 0.01),
    "13 digits": (lambda r: digits(r, 13), 0.02),
}
"""Kind → how it is made, and the greatest share that may be refused."""


@pytest.mark.fault(91)
@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_numbers_are_let_through(kind: str) -> None:
    make, most = OTHER_KINDS[kind]
    random = Random(kind)
    made = [make(random) for _ in range(SAMPLES)]
    refused = [text for text in made if card_data_in(text)]
    changed = [text for text in made if without_card_numbers(text) != text]
    assert len(refused) <= most * SAMPLES, refused[:3]
    assert changed == refused


@pytest.mark.fault(91)
@pytest.mark.parametrize("country", IBAN_LENGTHS)
def test_iban_of_every_country_is_let_through(country: str) -> None:
    random = Random(country)
    for _ in range(100):
        number = iban(random, country)
        assert not card_data_in([number, number.lower(), grouped(number, 4), f"({number})"])


@pytest.mark.fault(91)
def test_iban_with_other_check_digits_or_another_length_hides_no_card() -> None:
    for text in ("DE89 4242 4242 4242 4242 00", "DE00 4242 4242 4242 4242 42", "XX12 4242 4242 4242 4242"):
        assert card_data_in(text) == NUMBER


# What is one ------------------------------------------------------------------------------------------------------

CARDS = {
    "4242424242424242": "Visa",
    "4000000000000000006": "Visa of 19 digits",
    "5555555555554444": "Mastercard",
    "2223003122003222": "Mastercard's second range",
    "378282246310005": "American Express",
    "6011111111111117": "Discover",
    "36227206271667": "Diners Club",
    "3566002020360505": "JCB",
    "6200000000000005": "UnionPay",
    "6759649826438453": "Maestro",
    "2200000000000004": "Mir",
}


def as_on_the_card(card: str, separator: str = " ") -> str:
    if len(card) == 15:
        return separator.join((card[:4], card[4:10], card[10:]))
    if len(card) == 14:
        return separator.join((card[:4], card[4:10], card[10:]))
    return grouped(card, 4, separator)


def wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


DISGUISES: dict[str, Callable[[str], str]] = {
    "nothing": str,
    "blanks": as_on_the_card,
    "blanks, encoded": lambda card: quote(as_on_the_card(card)),
    "blanks, encoded twice": lambda card: quote(quote(as_on_the_card(card))),
    "blanks, encoded as +": lambda card: as_on_the_card(card, "+"),
    "dashes, encoded": lambda card: as_on_the_card(card, "%2D"),
    "every digit encoded": lambda card: "".join(f"%3{digit}" for digit in card),
    "full-width digits, encoded": lambda card: quote(wide(card)),
    "HTML": lambda card: as_on_the_card(card, "&nbsp;"),
    "HTML by number": lambda card: as_on_the_card(card, "&#160;"),
    "every digit in HTML": lambda card: "".join(f"&#x3{digit};" for digit in card),
    "every digit in HTML without semicolons": lambda card: "".join(f"&#{48 + int(digit)}" for digit in card),
    "every digit in HTML with zeros": lambda card: "".join(f"&#000000{48 + int(digit)};" for digit in card),
    "hexadecimal escapes": lambda card: "".join(f"\\x3{digit}" for digit in card),
    "escapes in braces": lambda card: "".join(f"\\u{{3{digit}}}" for digit in card),
    "escapes in braces with zeros": lambda card: "".join(f"\\u{{00003{digit}}}" for digit in card),
    "JSON": lambda card: "".join(f"\\u003{digit}" for digit in card),
    "four dashes": lambda card: as_on_the_card(card, "----"),
    "eight dashes": lambda card: as_on_the_card(card, "--------"),
    "dashes and blanks": lambda card: as_on_the_card(card, " -- "),
    "dots": lambda card: as_on_the_card(card, "..."),
    "underscores": lambda card: as_on_the_card(card, "__"),
    "a letter": lambda card: as_on_the_card(card, "x"),
    "a word": lambda card: as_on_the_card(card, " then "),
    "letters and dashes": lambda card: as_on_the_card(card, "-a-"),
    "single digits": "-".join,
    "single digits with a letter": "x".join,
    "pairs": lambda card: grouped(card, 2, "."),
    "pairs with a letter": lambda card: grouped(card, 2, "z"),
    "halves": lambda card: grouped(card, 8),
    "halves with a letter": lambda card: grouped(card, 8, "x") if len(card) in (15, 16) else card,
    "halves with a word": lambda card: grouped(card, 8, " and ") if len(card) in (15, 16) else card,
    "a group, then the rest": lambda card: f"{card[:4]}_{card[4:]}" if len(card) == 16 else card,
    "fives": lambda card: " ".join((card[:5], card[5:10], card[10:])) if len(card) in (15, 16) else card,
    "behind the code of a country": lambda card: f"+1 {card}",
    "full-width": wide,
    "full-width in groups": lambda card: wide(as_on_the_card(card, "-")),
    "invisible characters": lambda card: "\u200b".join(card),
    "a code behind": lambda card: f"{as_on_the_card(card)} 123",
    "a date behind": lambda card: f"{as_on_the_card(card)} 12/29",
    "a date like a group behind": lambda card: f"{as_on_the_card(card)} 1229",
    "an order and a year before": lambda card: f"Order 1001 from 2024: {as_on_the_card(card)}",
    "a room and a year before": lambda card: f"room 1203, 2024: {as_on_the_card(card)}",
    "a year before, all with blanks": lambda card: f"1001 2024 {as_on_the_card(card)}",
    "a date and a code in words behind": lambda card: f"number {as_on_the_card(card)} valid 1227 code 1234",
    "a year and a PIN behind": lambda card: f"{as_on_the_card(card)} exp 2027 pin 1234",
    "a date and a code as further groups": lambda card: f"{as_on_the_card(card, ';')};1227;0123",
    "a date before and a code behind": lambda card: f"1227,{as_on_the_card(card, ',')},0123",
    "single digits of a date and a code behind": lambda card: " ".join(f"{card}1227123"),
    "single digits of a long date and a code behind": lambda card: "-".join(f"{card}1220271234"),
    "pairs of a date and a code behind": lambda card: f"{grouped(card, 2)} 12 27 01 23",
    "groups before with another separator": lambda card: f"1001 1002 1003; {as_on_the_card(card)}",
    "groups with changing separators": lambda card: f"1001 1001 {as_on_the_card(card).replace(' ', '-', 1)} 1001 1001",
    "twice": lambda card: f"{as_on_the_card(card)} {as_on_the_card(card)}",
    "as a telephone number": lambda card: f"+{card}",
    "within a word": lambda card: f"pay_{card}_x",
    "in a sentence": lambda card: f"my card is {as_on_the_card(card)}, ends in 12/29, for order 4711",
    "behind an IBAN": lambda card: f"DE89 3704 0044 0532 0130 00 {as_on_the_card(card)}",
}
"""Disguise → what becomes of a card number. Each is found for every card, and removed."""


@pytest.mark.fault(91)
@pytest.mark.parametrize("disguise", DISGUISES)
def test_card_number_in_a_disguise_is_found_and_removed(disguise: str) -> None:
    for card in CARDS:
        text = DISGUISES[disguise](card)
        assert not is_ordinary(text)
        assert card_data_in(text) == NUMBER, text
        clean = without_card_numbers(text)
        assert "[card number removed]" in clean
        assert not card_data_in(clean), clean


@pytest.mark.fault(91)
def test_card_number_in_a_disguise_is_refused_at_every_entrance() -> None:
    for text in (disguise("4242424242424242") for disguise in DISGUISES.values()):
        with pytest.raises(Problem):
            parse_token_request({"customer_id": "cus_1", "payment_method": "pm_1", "metadata": {"note": text}})
        content = f'payment_id,amount,currency,description\np1,1,EUR,"{text}"\n'.encode()
        assert not any(isinstance(row, Row) for row in BatchFile([content]).rows())


def test_cards_of_the_table_have_prefixes_lengths_and_checksums() -> None:
    assert all(map(is_card_number, CARDS))
    assert not is_card_number("4242424242424241")
    assert not any(prefix.startswith(("0", "1", "7")) for prefix in LENGTHS_OF)
