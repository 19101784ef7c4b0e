"""Random JSON that parsers find hard: seeded, from deep nests to numbers that no type holds."""

import json
from random import Random
from typing import Any

NUMBERS = (
    *("0", "-0", "-1", "1e9999999999999999999", "1e-9999999999999999999", "-1e99999", "1E400", "1e-400", "0.1e-7"),
    *("NaN", "Infinity", "-Infinity", "9" * 5_000, "0." + "0" * 5_000 + "1", "1e5", "3600.0", "4102444800", "1e300"),
    *("1795262400.5", "1.7e9", "253402300800", "-62135596801", "9223372036854775808", "1e19", "00", "1.", "0x10"),
)
TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "\udfff\ud800",
        "\u202e",
        "\ufeff",
        "é" * 300,
        "a" * 70,
        "x" * 3_000,
        "ptok_" + "a" * 43,
    ),
    *("sealed.v1.x", "4242424242424242", "none", "RS256", "ES256", "HS256", "pool-ec", "jo@example.com", "EUR", "１"),
    *("pay_1", "cus_1", "pm_1", "1.00", "1e5", "https://shop.example/", "true", "payments", "admin", "access", "=1+1"),
)


def value(random: Random, depth: int = 0) -> str:
    """The text of a JSON value, or of something that is none."""
    kind = random.randrange(12 if depth < 3 else 7)
    match kind:
        case 0 | 1:
            return random.choice(NUMBERS)
        case 2 | 3 | 4:
            return json.dumps(random.choice(TEXTS))
        case 5:
            return random.choice(("null", "true", "false"))
        case 6:
            return json.dumps("".join(chr(random.randrange(0x3000)) for _ in range(random.randrange(9))))
        case 7 | 8:
            return f"[{','.join(value(random, depth + 1) for _ in range(random.randrange(4)))}]"
        case 9 | 10:
            return obj(random, {}, depth + 1)
    return random.choice(("[" * 900 + "]" * 900, '{"a":' * 300 + "1" + "}" * 300, "[" * 30_000, "{", '"', "\\", ""))


def obj(random: Random, usual: dict[str, Any], depth: int = 0) -> str:
    """The text of an object: some usual fields as they are, some with other values, some unknown."""
    members = []
    for name, content in usual.items():
        chance = random.randrange(10)
        if chance < 6:
            members.append(f"{json.dumps(name)}:{json.dumps(content)}")
        elif chance < 9:
            members.append(f"{json.dumps(name)}:{value(random, depth)}")
    for _ in range(random.choice((0, 0, 0, 1, 2))):
        members.append(f"{json.dumps(random.choice(TEXTS))}:{value(random, depth + 1)}")
    random.shuffle(members)
    return f"{{{','.join(members)}}}"
