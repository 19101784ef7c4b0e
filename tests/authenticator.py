"""The authenticator app of a person with a second factor."""

import base64
import hmac
import time


def code_of(secret: str) -> str:
    """The code that an authenticator shows now (RFC 6238)."""
    count = int(time.time() // 30).to_bytes(8, "big")
    digest = hmac.digest(base64.b32decode(secret + "=" * (-len(secret) % 8)), count, "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"
