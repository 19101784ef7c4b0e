"""Synthesises one stack: the payment backend of ENVIRONMENT_SUFFIX."""

import sys

from lib.settings import SettingsError, load


def main() -> None:
    """Read the settings, create the stack, write it to cdktf.out."""
    try:
        settings = load()
    except SettingsError as refused:
        sys.exit(str(refused))

    # after the settings: an invalid setting is reported at once, without the seconds that these imports take
    from lib.bindings import App
    from lib.payment_stack import PaymentStack

    app = App()
    PaymentStack(app, settings)
    app.synth()


if __name__ == "__main__":
    main()
