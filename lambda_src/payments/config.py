"""The functions' settings: environment variables that `lib/` sets. Other code does not read the environment."""

import os


class SettingMissing(RuntimeError):
    """A function was deployed without a required setting."""


def setting(name: str, default: str | None = None) -> str:
    """The value of a setting. Pass `default` only where an empty value is meaningful.

    Raises SettingMissing naming the variable.
    """
    value = os.environ.get(name, default)
    if value is None:
        raise SettingMissing(f"environment variable {name} is not set on this function; deploy the stack again")
    return value
