"""What counts as a small amount in each currency: card testers charge little, so that no holder notices.

An amount is small if it is worth at most SMALL_DOLLARS at the rates below. Only the order of magnitude matters: a rate
that is wrong by a quarter moves the border between 1.60 and 2.50 dollars.
"""

from decimal import Decimal

from payments.domain.currencies import EXPONENTS
from payments.domain.money import Money

SMALL_DOLLARS = 2

_UNITS_A_DOLLAR = """
AED 3.7  AFN 68  ALL 93  AMD 390  AOA 920  ARS 1000  AUD 1.5  AWG 1.8  AZN 1.7  BAM 1.9  BBD 2  BDT 120  BHD 0.38
BIF 2900  BMD 1  BND 1.3  BOB 6.9  BOV 2.6  BRL 6  BSD 1  BTN 85  BWP 14  BYN 3.3  BZD 2  CAD 1.4  CDF 2900  CHE 0.88
CHF 0.88  CHW 0.88  CLF 0.025  CLP 980  CNY 7.3  COP 4400  COU 12  CRC 510  CUP 24  CVE 105  CZK 24  DJF 178  DKK 7.1
DOP 60  DZD 134  EGP 50  ERN 15  ETB 125  EUR 0.95  FJD 2.3  FKP 0.79  GBP 0.79  GEL 2.7  GHS 15  GIP 0.79  GMD 72
GNF 8600  GTQ 7.7  GYD 209  HKD 7.8  HNL 25  HTG 131  HUF 390  IDR 15900  ILS 3.7  INR 85  IQD 1310  IRR 42000  ISK 137
JMD 158  JOD 0.71  JPY 151  KES 130  KGS 87  KHR 4000  KMF 466  KPW 900  KRW 1400  KWD 0.31  KYD 0.83  KZT 510
LAK 21900  LBP 89500  LKR 291  LRD 179  LSL 18  LYD 4.9  MAD 10  MDL 18  MGA 4700  MKD 58  MMK 2100  MNT 3400  MOP 8
MRU 40  MUR 46  MVR 15  MWK 1740  MXN 20  MXV 2.5  MYR 4.5  MZN 64  NAD 18  NGN 1680  NIO 37  NOK 11  NPR 135  NZD 1.7
OMR 0.38  PAB 1  PEN 3.8  PGK 4  PHP 59  PKR 278  PLN 4.1  PYG 7800  QAR 3.6  RON 4.7  RSD 111  RUB 109  RWF 1380
SAR 3.8  SBD 8.5  SCR 14  SDG 512  SEK 11  SGD 1.3  SHP 0.79  SLE 23  SOS 571  SRD 36  SSP 3700  STN 23  SVC 8.8
SYP 13000  SZL 18  THB 34  TJS 11  TMT 3.5  TND 3.2  TOP 2.4  TRY 35  TTD 6.7  TWD 32  TZS 2650  UAH 42  UGX 3700  USD 1
USN 1  UYI 6.9  UYU 43  UYW 24  UZS 12800  VED 47  VES 47  VND 25400  VUV 119  WST 2.8  XAD 0.25  XAF 622  XCD 2.7
XCG 1.8  XOF 622  XPF 113  YER 250  ZAR 18  ZMW 27  ZWG 25
"""
"""Units of each currency for a dollar, rounded: the open rates of ExchangeRate-API (exchangerate-api.com) of November
2024. The units of account BOV, CHE, CHW, CLF, COU, MXV, USN, UYI, UYW and XAD have no market; their rates follow from
what their issuers define them by."""

_words = _UNITS_A_DOLLAR.split()
SMALL_MINOR_UNITS: dict[str, int] = {
    currency: int((SMALL_DOLLARS * Decimal(rate)).scaleb(EXPONENTS[currency]))
    for currency, rate in zip(_words[::2], _words[1::2], strict=True)
}
"""Currency code → the largest small amount in minor units."""


def is_small(money: Money) -> bool:
    """True for an amount that is typical of card testing."""
    return money.minor_units <= SMALL_MINOR_UNITS[money.currency]
