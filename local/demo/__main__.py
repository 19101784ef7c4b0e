"""`python -m local.demo`, the same as `python -m local demo`."""

from local.__main__ import app

if __name__ == "__main__":
    app(["demo"], prog_name="python -m local")
