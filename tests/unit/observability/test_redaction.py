"""The redactor against secrets in log values: planted at any depth and in any encoding, and searched in the
line's bytes."""

import base64
import io
import json
import logging
import re
import unicodedata
from collections import UserDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from aws_lambda_powertools import Logger
from hypothesis import given
from hypothesis import strategies as st

from payments.domain.errors import POLICIES, SUSPICIOUS_DECLINE_CODES
from payments.domain.statuses import Status
from payments.observability import logs
from payments.observability.redaction import LONGEST_TEXT, redacted, redacted_text
from tests.cpu import LINEAR, growth

SECRETS = {
    "Visa": "4111111111111111",
    "American Express": "378282246310005",
    "Mastercard of the second range": "2223003122003222",
    "e-mail": "jane.doe+1@example.co.uk",
    "secret key": "sk_live_51H8abcDEFghiJKL",
    "test key": "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "restricted key": "rk_live_51H8abcDEFghiJKL",
    "signing secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "client secret": "pi_3MtwBwLkdIwHu7ix28a3tqPa_secret_YrKJUKribcBjcG8HVhfZluoGH",
    "payment method": "pm_1MqLiJLkdIwHu7ixUEgbFdYF",
    "card": "card_1MvoiELkdIwHu7ixOeFGbN9D",
    "token of the gateway": "tok_1MzvLDLkdIwHu7ixgxHqSrFK",
    "source": "src_1MzvLDLkdIwHu7ixgxHqSrFK",
    "payment intent": "pi_3MtwBwLkdIwHu7ix28a3tqPa",
    "charge": "ch_3MmlLrLkdIwHu7ix0snN0B15",
    "refund": "re_1Nispe2eZvKYlo2Cd31jOCgZ",
    "token": "ptok_dGhpcyBpcyBhIHRva2VuIG9mIG91cnMgMTIzNDU2Nzg",
    "sealed": "sealed.v1.AQIDAHhdmVuIG9m.cGxhaW4_dGV4dA-_",
    "JWT": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhYmMifQ.c2lnbmF0dXJl",
    "JWT with blanks": "ewogICJhbGciOiAiUlMyNTYiCn0.ewogICJzdWIiOiAiYWJjIgp9.c2lnbmF0dXJl",
    "AWS key id": "AKIAIOSFODNN7EXAMPLE",
    "AWS secret key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
}
CARDS = [name for name in SECRETS if SECRETS[name].isdigit()]
SPEAKING_NAMES = [
    "password",
    "db_password",
    "client_secret",
    "accessToken",
    "customer-email",
    "Authorization",
    "x-api-key",
    "Stripe-Signature",
    "Set-Cookie",
    "payment_method",
    "cvv",
    "CVC2",
    "metadata",
    "name",
    "gateway_reference",
    "ｐａｓｓｗｏｒｄ",
    "pass\u200bword",
]
HIDDEN = "correct horse battery"


class Careless:
    """An object whose text contains everything."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    def __str__(self) -> str:
        return f"<Careless {self._secret}>"


class Broken:
    """An object without a text."""

    def __str__(self) -> str:
        raise RuntimeError(SECRETS["Visa"])


@dataclass
class Printed:
    """A logger of ours, and what it printed."""

    log: Logger
    out: io.StringIO

    def line(self) -> dict[str, Any]:
        """The one line that was printed."""
        (line,) = self.out.getvalue().splitlines()
        values: dict[str, Any] = json.loads(line)
        return values


def printed(write: Callable[[Logger], object]) -> Printed:
    """What our logger prints; a new one, as the function's own keeps the stream of the test that made it."""
    out = io.StringIO()
    formatter = logs.RedactingFormatter(utc=True)
    log = Logger(service=f"test-{id(out)}", stream=out, logger_formatter=formatter)
    write(log)
    assert out.getvalue().count("\n") == 1
    return Printed(log, out)


def line_with(value: Any) -> str:
    """The line of a logged value."""
    return printed(lambda log: log.info("charged", tried=value)).out.getvalue()


def seen(text: str) -> str:
    """The text as a careful reader sees it: no escapes, one form of each character, nothing invisible."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text)
    text = "".join(str(unicodedata.digit(c, c)) for c in unicodedata.normalize("NFKC", text))
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def is_in(secret: str, line: str) -> bool:
    """True if a secret can be read in a line; a number also across any separators of its digits."""
    if secret.isdigit():
        return secret in re.sub("[^0-9A-Za-z]", "", seen(line))
    return secret in seen(line)


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


WRAPPED: dict[str, Callable[[str], Any]] = {
    "as it is": lambda secret: secret,
    "in a sentence": lambda secret: f"the answer was {secret}, as always",
    "glued to words": lambda secret: f"<{secret}>",
    "in JSON": lambda secret: json.dumps({"a": [{"b": secret}]}),
    "in JSON in JSON": lambda secret: json.dumps({"a": json.dumps({"b": secret})}),
    "in JSON that ends too early": lambda secret: json.dumps({"a": [{"b": secret}]})[:-1],
    "in escapes": lambda secret: "".join(f"\\u{ord(c):04x}" for c in secret),
    "in a repr": lambda secret: repr({"a": {"b": (secret,)}}),
    "URL-encoded": lambda secret: f"https://example.com/?a={quote(secret, safe='')}&b=1",
    "every character URL-encoded": lambda secret: "".join(f"%{byte:02X}" for byte in secret.encode()),
    "base64": in_base64,
    "base64 for URLs, without padding": lambda s: base64.urlsafe_b64encode(s.encode()).decode().rstrip("="),
    "base64 of JSON": lambda secret: in_base64(json.dumps({"a": 1, "b": secret})),
    "base64 in a path": lambda secret: f"s3/x/{in_base64(secret)}",
    "bytes": lambda secret: secret.encode(),
    "an object": Careless,
    "an exception": ValueError,
    "a key": lambda secret: {secret: 1},
    "a set": lambda secret: {secret},
    "a mapping": lambda secret: UserDict({"a": secret}),
    "full-width": lambda secret: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in secret),
    "with what cannot be seen": lambda secret: "\u200b".join(secret),
    "after much else": lambda secret: "a b" * (LONGEST_TEXT // 4) + f" {secret} " + "c d" * LONGEST_TEXT,
}


@pytest.mark.parametrize("dress", WRAPPED)
@pytest.mark.parametrize("name", SECRETS)
def test_line_when_a_secret_is_planted_then_it_cannot_be_read(name: str, dress: str) -> None:
    secret, planted = SECRETS[name], WRAPPED[dress](SECRETS[name])
    line = line_with({"outcome": [planted]})

    assert not is_in(secret, line)
    assert not is_in(str(planted), line) or str(planted) == ""
    assert "redacted" in line


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-999, 999) | st.text("abc é٤\n\\\"'{}[]:=,%&", max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc_", max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, Any]:
    """A secret, and a value that contains it in some encoding at some depth among other values."""
    secret = SECRETS[draw(st.sampled_from(list(SECRETS)))]
    value: Any = WRAPPED[draw(st.sampled_from([dress for dress in WRAPPED if dress != "after much else"]))](secret)
    for _ in range(draw(st.integers(0, 4))):
        others = draw(st.lists(VALUES, max_size=2))
        match draw(st.sampled_from(["list", "dict", "text", "json", "tuple"])):
            case "list":
                value = [*others, value]
            case "dict":
                value = {"a": others, draw(st.sampled_from(["b", "reason", "detail"])): value}
            case "text":
                value = f"{draw(st.text('ab :=([{', max_size=6))} {value} {draw(st.text('ab :=)]}', max_size=6))}"
            case "json":
                value = json.dumps({"a": others, "b": str(value)})
            case _:
                value = (value, others)
    return secret, value


@given(planted())
def test_line_when_a_secret_is_anywhere_in_it_then_it_cannot_be_read(given_to_log: tuple[str, Any]) -> None:
    secret, value = given_to_log

    assert not is_in(secret, line_with(value))
    assert not is_in(secret, printed(lambda log: log.info(value)).out.getvalue())
    assert not is_in(secret, printed(lambda log: log.info("%s of %s", value, 1)).out.getvalue())


@given(planted())
def test_line_hides_a_secret_in_error_text_traceback_and_notes(given_to_log: tuple[str, Any]) -> None:
    secret, value = given_to_log

    def fail(log: Logger) -> None:
        try:
            try:
                raise KeyError(f"{value}")
            except KeyError as error:
                error.add_note(f"tried {value}")
                raise ValueError(f"with {value}", value) from error
        except ValueError:
            log.exception("request failed")

    shown = printed(fail)
    assert not is_in(secret, shown.out.getvalue())
    assert shown.line()["exception_name"] == "ValueError"


@pytest.mark.fault(44)
@pytest.mark.parametrize("depth", range(8))
def test_card_number_in_nested_escapes_is_in_no_line(depth: int) -> None:
    text = "".join(chr(0xFF10 + int(digit)) for digit in SECRETS["Visa"])
    for _ in range(depth):
        text = str([json.dumps({"b": text})])

    def fail(log: Logger) -> None:
        try:
            raise ValueError(f"with {text}", text)
        except ValueError:
            log.exception("request failed")

    assert not is_in(SECRETS["Visa"], line_with(text))
    assert not is_in(SECRETS["Visa"], printed(fail).out.getvalue())


@pytest.mark.fault(44)
def test_card_number_with_separated_or_non_ascii_digits_is_in_no_line() -> None:
    separators = [
        " ",
        "-",
        ".",
        "/",
        ":",
        "_",
        " - ",
        "\n",
        "\t",
        "\u00a0",
        "\u2009",
        "\u200d",
        "·",
        ", ",
        '","',
        "\\n",
    ]
    for name in CARDS:
        number = SECRETS[name]
        for separator in separators:
            for size in (1, 4):
                text = separator.join(number[i : i + size] for i in range(0, len(number), size))
                values: list[Any] = [text, [text], repr(text), json.dumps(text), f"99 {text} 12/28", f"x{text}x"]
                assert not any(is_in(number, line_with(value)) for value in values), text
        for zero in "0０٠०𝟎":
            text = "".join(chr(ord(zero) + int(digit)) for digit in number)
            assert not is_in(number, line_with(text))
        others: list[Any] = [
            int(number),
            float(number),
            list(number),
            [int(digit) for digit in number],
            {"a": [number[:8], number[8:]]},
        ]
        for value in [*others, f"{number}123", f"000{number}", f"1{number}7"]:
            assert not is_in(number, line_with(value))


@pytest.mark.parametrize("text", ["cvv 123", "CVC: 9876", "cvc2=123", "the security code is 123", '{"cvv": 123}'])
def test_text_when_it_has_a_card_verification_value_then_that_is_taken_out(text: str) -> None:
    assert not re.search(r"123|9876", redacted_text(text))


@pytest.mark.parametrize("name", SPEAKING_NAMES)
def test_value_under_a_secret_name_is_hidden_in_every_form(name: str) -> None:
    first = HIDDEN.split()[0]
    dresses: list[Any] = [
        {name: HIDDEN},
        {"a": [{"b": {name: HIDDEN}}]},
        {name: {"a": [HIDDEN]}},
        {name: [HIDDEN, HIDDEN]},
        json.dumps({"a": {name: HIDDEN}}),
        json.dumps({"a": {name: [HIDDEN]}})[:-1],
        f"boom: {json.dumps({name: HIDDEN})} in the end",
        f"boom: { ({name: HIDDEN})!r} in the end",
        json.dumps(json.dumps({name: HIDDEN})),
        f"{name}={HIDDEN}",
        f"{name}: {HIDDEN}",
        f"?a=1&{name}={quote(HIDDEN)}&b=2",
        quote(f"{name}={HIDDEN}"),
        in_base64(json.dumps({name: HIDDEN})),
        {"headers": {name: HIDDEN}, "multiValueHeaders": {name: [HIDDEN]}},
    ]
    for value in dresses:
        assert first not in line_with(value), value
    assert redacted({name: 123456}) != {name: 123456}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer 2YotnFZFEjr1zCsicMWpAA",
        "authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l",
        "sent with bearer 2YotnFZFEjr1zCsicMWpAA",
        "Cookie: a=1; session=2YotnFZFEjr1zCsicMWpAA; YWxhZGRpbjpvcGVuc2VzYW1l=1",
        "Stripe-Signature: t=1,v1=2YotnFZFEjr1zCsicMWpAA",
        "x-api-key: 2YotnFZFEjr1zCsicMWpAA",
    ],
)
def test_text_of_a_credential_header_loses_its_value(text: str) -> None:
    assert "2YotnFZFEjr1zCsicMWpAA" not in redacted_text(text)
    assert "YWxhZGRpbjpvcGVuc2VzYW1l" not in redacted_text(text)


def test_line_without_secrets_keeps_every_value_unchanged() -> None:
    fields: dict[str, Any] = {
        "payment_id": "pay_123456",
        "correlation_id": "41111111-1111-1111-1111-111111111111",
        "request_id": "7f1b2c3d-0000-4000-8000-123456789012",
        "batch_id": "payroll-58b6f1f59dd7",
        "event_id": "evt_1MqLiJLkdIwHu7ixUEgbFdYF",
        "status": "succeeded",
        "statuses": [status.value for status in Status],
        "errors": [error.__name__ for error in POLICIES],
        "codes": sorted(
            SUSPICIOUS_DECLINE_CODES | {"no_payment_method", "amount_not_chargeable", "card_not_supported"}
        ),
        "wait_seconds": 14,
        "seconds": 0.25,
        "minor_units": 999_999_999_999,
        "replayed": False,
        "route": "POST /payments",
        "reason": "VersionConflict: payment pay_1 changed 5 times while its outcome was recorded",
        "at": "2026-11-21T12:00:00.123Z",
        "by_status": {"succeeded": 3, "declined": 1},
        "arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:payment-gateway-stripe-dev-AbCdEf",
        "trace": 'File "/var/task/handlers/charge.py", line 71, in handler',
        "error": "AccessDeniedException: not authorized to perform secretsmanager:GetSecretValue on resource",
        "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "none": "the payment names no payment method, its customer has no default one",
    }

    line = printed(lambda log: log.info("charged", **fields)).line()
    assert {name: line[name] for name in fields} == fields
    assert (line["message"], line["level"]) == ("charged", "INFO")
    assert re.fullmatch(r"2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\+0000", line["timestamp"])


@pytest.mark.parametrize("payment_id", ["re_2026", "pi_1", "ch_55", "tok_1234", "card_12345678901234", "pm_order_7"])
def test_payment_id_that_looks_like_a_gateway_id_is_kept(payment_id: str) -> None:
    assert redacted({"payment_id": payment_id}) == {"payment_id": payment_id}


@pytest.mark.parametrize("name", ["Visa", "secret key", "signing secret", "token", "AWS key id", "e-mail", "JWT"])
def test_payment_id_when_it_is_a_secret_then_it_is_taken_out(name: str) -> None:
    assert SECRETS[name] not in json.dumps(redacted({"payment_id": SECRETS[name], "correlation_id": SECRETS[name]}))


def test_redaction_names_what_it_removed_and_keeps_the_rest() -> None:
    assert redacted_text("sent 4111 1111 1111 1111 to jo@example.com") == (
        "sent [redacted: card number] to [redacted: e-mail]"
    )
    assert redacted({"password": "x", "n": 1}) == {"password": "[redacted: password]", "n": 1}


@given(planted())
def test_text_when_it_was_redacted_before_then_nothing_changes(given_to_log: tuple[str, Any]) -> None:
    once = redacted_text(str(given_to_log[1]))
    assert not is_in(given_to_log[0], redacted_text(once))


def test_line_is_printed_even_for_unreadable_values() -> None:
    endless: list[Any] = []
    endless += [endless] * 50
    for value in [
        endless,
        Broken(),
        float("nan"),
        float("-inf"),
        10**5000,
        "\ud800\udc00\ud800",
        b"\xff\xfe",
        {Broken(): 1},
    ]:
        assert json.loads(line_with(value).encode())["message"] == "charged"


def test_line_with_mismatched_format_arguments_does_not_print_them() -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, "%d payments for %s", (SECRETS["Visa"], "jo@a.com"), None)
    line = json.loads(logs.RedactingFormatter(utc=True).format(record))

    assert line["message"].startswith("not readable")
    assert SECRETS["Visa"] not in json.dumps(line)


LONG = 400_000


SLOW = r"""a 4 41 : a@ @ %34 % \ \u eyJ
password= password:"\" { name:{ [ cvv QUFB 1. pi_ ab_ _secret_ - arn:aws: {"a": " é á̖"""


@pytest.mark.parametrize("piece", [*SLOW.split(), "4 ", "Basic a", "bearer "])
def test_text_when_it_is_made_to_be_slow_then_work_grows_no_faster_than_it(piece: str) -> None:
    lines: list[object] = []

    def add_line_of(length: int) -> None:
        text = piece * (length // len(piece))
        lines.append(redacted({"a": text, "b": [text] * (length // 20_000)}))

    assert growth(add_line_of, LONG) < LINEAR
    assert max(len(json.dumps(line)) for line in lines) < 1_000_000


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("cut", [1, 5, 9, 15])
def test_text_truncated_within_a_secret_keeps_no_part_of_it(name: str, cut: int) -> None:
    secret = SECRETS[name]
    for margin in (0, 256, 512, 1024):
        text = "x " * ((LONGEST_TEXT + margin - cut) // 2) + secret + " y" * 2000
        assert secret[: max(cut, 6)] not in redacted_text(text)
