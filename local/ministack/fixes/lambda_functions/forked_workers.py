"""Workers of Python functions are forked from a process that has loaded their code (local/ministack/processes.py).

For each worker, MiniStack unpacks code and layers, starts Python and imports everything: one second of CPU, more than
the work of a hundred payments. It also ends all workers of a function when one of them is killed at its start, waits
50 ms for the log of a handler that prints nothing, and loses the end of a slow log.

Probe: `forked_workers` in tests/local/ministack/test_upstream.py.
"""

import contextlib
import functools
import hashlib
import io
import json
import os
import secrets
import shutil
import tempfile
import threading
import zipfile
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from ministack.core import lambda_runtime, tls
from ministack.core.concurrency import spawn_background
from ministack.core.responses import new_uuid
from ministack.services import lambda_svc

from local.ministack import serving
from local.ministack.fixes.patching import wrap
from local.ministack.processes import ExecutionEnvironment, ForkServer, Function, LoadFailed, ProcessEnded
from local.ministack.runtime.shortcut import SOCKET

WORKER_ENDED: Final = "Worker process died"
INHERITED_VARIABLES: Final = ("PATH", "HOME", "LANG", "TZ")
PYTHON: Final = f"python/lib/python{'.'.join(map(str, lambda_runtime.sys.version_info[:2]))}/site-packages"

SPAWN_TRIES: Final = 3

LOADED_BY: Final = (
    "FunctionArn",
    "Version",
    "CodeSha256",
    "Handler",
    "Role",
    "Environment",
    "Layers",
    "MemorySize",
    "LoggingConfig",
)

_SALT: Final = secrets.token_hex(16)
"""MiniStack computes a function's keys from its ARN. With this, no other process can."""

_unpacking = threading.Lock()
_loading = threading.Lock()
_functions: dict[str, Future[Function]] = {}


def apply() -> None:
    """Use forked workers for Python functions, and start the root process."""
    wrap(lambda_runtime, "_worker_class_for", _forked)
    wrap(lambda_svc, "invalidate_worker", _forget_the_code)
    wrap(lambda_svc, "_create_function", _load_at_once)
    _root()


def _forked(otherwise: Any, config: dict[str, Any]) -> type[lambda_runtime.Worker]:
    return ForkedWorker if _is_python(config) else otherwise(config)


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


class ForkedWorker(lambda_runtime.Worker):  # type: ignore[misc]
    """One execution environment of a Python function. A new one is created after it has ended."""

    _proc: ExecutionEnvironment | None

    def _spawn(self) -> None:
        for attempt in range(SPAWN_TRIES):
            function = _function(self.config, self.code_zip)
            try:
                self._proc = function.environment({"AWS_LAMBDA_LOG_STREAM_NAME": new_uuid()})
                return
            except (OSError, ProcessEnded):  # the parent process was killed: load the code again
                _drop_this(function)
                if attempt == SPAWN_TRIES - 1:
                    raise

    def invoke(
        self,
        event: Any,
        request_id: str,
        *,
        trace_id: str | None = None,
        depth: int | None = None,
        invoked_function_arn: str | None = None,
        **_durable: Any,
    ) -> dict[str, Any]:
        """Run one invocation. The answer has the format of MiniStack's own workers. Raises LoadFailed."""
        timeout = self.config.get("Timeout", 3)
        request = {
            "event": event,
            "request_id": request_id,
            "arn": invoked_function_arn or self.config.get("FunctionArn", ""),
            "timeout": timeout,
            "depth": max(1, depth or 0),  # MiniStack counts from Invoke on; what the function invokes is nested always
            "trace_id": trace_id,
        }
        with self._lock:
            ended = self._proc
            cold = ended is None or ended.poll() is not None
            if cold:
                self._proc = None
                if ended is not None:
                    ended.wait()  # closes its log
                self._spawn()
            process = self._proc
            assert process is not None  # noqa: S101 - for the type checker
            try:
                answer, log = process.invoke(request, timeout)
                return {"status": "ok", "result": answer.get("result", answer), "log": log, "cold_start": cold}
            except ProcessEnded as ended:
                error, log = WORKER_ENDED, str(ended)
            except TimeoutError as late:
                error, log = f"Task timed out after {timeout}.00 seconds", str(late)
            self._proc = None
        process.terminate()
        process.wait()
        return {"status": "error", "error": error, "log": log, "cold_start": cold}


def _function(config: dict[str, Any], code_zip: bytes) -> Function:
    """A function's loaded code. It is loaded once per version of code and configuration. Raises LoadFailed."""
    version = json.dumps([config.get(part) for part in LOADED_BY])
    key = f"{config['FunctionName']}:{_digest(version.encode())}"
    with _loading:
        mine = key not in _functions
        loaded = _functions.setdefault(key, Future())
    if mine:
        try:
            loaded.set_result(_living_root().load(_description(config, code_zip)))
        except BaseException as failed:  # noqa: BLE001 - every waiting thread raises it
            with _loading:
                _functions.pop(key, None)
            loaded.set_exception(failed)
    return loaded.result()


def _description(config: dict[str, Any], code_zip: bytes) -> dict[str, Any]:
    code = _unpacked(code_zip)
    layers = [_unpacked(lambda_svc._resolve_layer_zip(layer)) for layer in config.get("Layers") or []]
    # Lambda's search order: the function's own folder, then the layers, the last layer first
    paths = [str(layer / folder) for layer in reversed(layers) for folder in (PYTHON, "python")]
    return {
        "handler": config["Handler"],
        "code": str(code),
        "paths": paths,
        "environment": _environment(config) | {"LAMBDA_TASK_ROOT": str(code)},
    }


def _environment(config: dict[str, Any]) -> dict[str, str]:
    """The variables of https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html, and the address of the
    local AWS."""
    name = config["FunctionName"]
    _, region = lambda_runtime._account_region_from_function_config(config)
    own = {name: value for name in INHERITED_VARIABLES if (value := os.environ.get(name))}
    own |= (config.get("Environment") or {}).get("Variables") or {}
    own |= {
        "_HANDLER": config["Handler"],
        "_DEPTH_HEADER": lambda_runtime.INVOKE_DEPTH_HEADER,
        SOCKET: serving.shortcut(),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{config['Runtime']}",
        "AWS_LAMBDA_FUNCTION_NAME": name,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(config.get("MemorySize", 128)),
        "AWS_LAMBDA_FUNCTION_VERSION": config.get("Version", "$LATEST"),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": (config.get("LoggingConfig") or {}).get("LogGroup", f"/aws/lambda/{name}"),
        **lambda_runtime.execution_credentials(config | {"FunctionArn": f"{config['FunctionArn']}:{_SALT}"}),
    }
    own.setdefault(lambda_runtime.HOST_PREFIX_ENV, "true")
    if "AWS_ENDPOINT_URL" in own:
        own.pop(SOCKET)
    else:
        own["AWS_ENDPOINT_URL"] = (
            f"{'https' if tls.use_ssl_enabled() else 'http'}://127.0.0.1:{os.environ['GATEWAY_PORT']}"
        )
        tls.trust_gateway_cert(own)
    return own


def _unpacked(package: bytes) -> Path:
    """The folder with a zip file's content. All functions and processes share it, so that its files are read-only, as
    on Lambda. Its folders are not: Python stores its bytecode there, and a stop deletes them."""
    folder = Path(tempfile.gettempdir(), f"lambda-code-{_digest(package)}")
    with _unpacking:
        if not folder.exists():
            unfinished = folder.with_suffix(".unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(package)) as archive:
                archive.extractall(unfinished)  # keeps names inside the folder
            for file in filter(Path.is_file, unfinished.rglob("*")):
                file.chmod(0o444)
            unfinished.rename(folder)
    return folder


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


@functools.cache
def _root() -> ForkServer:
    return ForkServer({name: os.environ[name] for name in INHERITED_VARIABLES if name in os.environ})


def _living_root() -> ForkServer:
    if not _root().alive:
        _root().close()
        _root.cache_clear()
    return _root()


def _load_at_once(create: Any, data: dict[str, Any]) -> Any:
    """Load a new function's code in the background: its first invocation is as fast as the others."""
    response = create(data)
    function = lambda_svc._functions.get(data.get("FunctionName", "")) or {}
    config = function.get("config") or {}
    if response[0] == HTTPStatus.CREATED and function.get("code_zip") and _is_python(config):
        spawn_background(_try_to_load, config, function["code_zip"], thread_name="load-function")
    return response


def _try_to_load(config: dict[str, Any], code_zip: bytes) -> None:
    with contextlib.suppress(LoadFailed, OSError, ProcessEnded):  # the first invocation reports it
        _function(config, code_zip)


def _forget_the_code(invalidate: Any, func_name: str, *args: Any, **kwargs: Any) -> None:
    invalidate(func_name, *args, **kwargs)
    _drop(func_name)


def _drop_this(function: Function) -> None:
    """Forget a function whose parent process has ended, unless another thread has loaded it anew."""
    with _loading:
        for key, loaded in list(_functions.items()):
            if loaded.done() and not loaded.exception() and loaded.result() is function:
                del _functions[key]
    function.close()


def _drop(func_name: str) -> None:
    with _loading:
        keys = [key for key in _functions if key.startswith(f"{func_name}:")]
        dropped = [_functions.pop(key) for key in keys]
    for loaded in dropped:
        loaded.add_done_callback(_close)


def _close(loaded: Future[Function]) -> None:
    if not loaded.exception():
        loaded.result().close()
