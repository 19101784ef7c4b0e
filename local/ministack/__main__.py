"""`python -m local.ministack`: MiniStack with our fixes, configured by its own environment variables only.

Beyond MiniStack's variables (GATEWAY_PORT, BIND_HOST, AUTH, USE_SSL, TMPDIR, SFN_WAIT_SCALE, ...) six are ours:
LAMBDA_PLACES and LAMBDA_PLACES_EACH, how many invocations run at a time (fixes/lambda_places.py),
ALARM_PERIOD_SECONDS, time between two looks at queues and alarms (3), PERMISSIONS_FILE, where to record what roles ask
for (nowhere), and SCHEDULE_SCALE and VISIBILITY_SCALE, which shorten times (1; see local/ministack/scales.py).
"""

import uvloop

from local.ministack import control, disturbances, permissions, scales, speed
from local.ministack.fixes import apply_all
from local.ministack.serving import serve


def main() -> None:
    """Serve until SIGTERM."""
    uvloop.install()  # its TLS and its loop take a third of asyncio's time, and all of AWS is on one loop here
    apply_all()
    speed.apply()
    permissions.start()
    scales.start()
    disturbances.start()
    control.start()
    serve()


if __name__ == "__main__":
    main()
