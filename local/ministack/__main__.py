"""`python -m local.ministack`: MiniStack with our fixes, configured only by environment variables.

MiniStack's own variables are GATEWAY_PORT, BIND_HOST, AUTH, USE_SSL, TMPDIR, SFN_WAIT_SCALE and others. Six are ours:

- LAMBDA_PLACES and LAMBDA_PLACES_EACH limit the concurrent invocations (fixes/lambda_functions/lambda_places.py).
- ALARM_PERIOD_SECONDS is the interval between two checks of queues and alarms (default 3).
- PERMISSIONS_FILE is the file that records the requests of roles (default none).
- SCHEDULE_SCALE and VISIBILITY_SCALE shorten times (default 1, see local/ministack/scales.py).
"""

import uvloop

from local.ministack import control, disturbances, permissions, private_socket, scales, speed
from local.ministack.fixes import apply_all
from local.ministack.serving import serve


def main() -> None:
    """Serve until SIGTERM."""
    uvloop.install()  # its TLS and loop take a third of asyncio's time; the whole local AWS runs on one loop
    apply_all()
    speed.apply()
    private_socket.start()
    permissions.start()
    scales.start()
    disturbances.start()
    control.start()
    serve()


if __name__ == "__main__":
    main()
