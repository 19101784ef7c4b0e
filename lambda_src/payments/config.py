"""The functions' settings: environment variables that `lib/` sets. No function reads the environment elsewhere."""

import os


class SettingMissing(RuntimeError):
    """A function was deployed without a setting it needs."""


def setting(name: str, default: str | None = None) -> str:
    """The value of a setting; `default` only where an empty value means something.

    Raises SettingMissing naming the variable.
    """
    value = os.environ.get(name, default)
    if value is None:
        raise SettingMissing(f"environment variable {name} is not set on this function; deploy the stack again")
    return value
