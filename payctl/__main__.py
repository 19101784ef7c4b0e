"""`python -m payctl`."""

from payctl.app import app

if __name__ == "__main__":
    app(prog_name="payctl")
