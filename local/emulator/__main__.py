"""`python -m local.emulator`: MiniStack with our fixes, configured by its own environment variables only.

Beyond MiniStack's variables (GATEWAY_PORT, BIND_HOST, AUTH, USE_SSL, TMPDIR, SFN_WAIT_SCALE, ...) two are ours:
LAMBDA_MAX_WORKERS, warm processes a function (4), and ALARM_PERIOD_SECONDS, time between two looks at queues
and alarms (3).
"""

from local.emulator.fixes import apply_all


def main() -> None:
    """Serve until SIGTERM."""
    apply_all()
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
