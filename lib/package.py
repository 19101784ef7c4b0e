"""The Lambda packages: one zip of our code and one layer of locked dependencies, byte for byte reproducible.

The name of each archive contains a hash of its content: a fresh checkout deploys only what changed. Both archives
contain bytecode that Python loads without a check of the source's time stamp, which halves the import time.
"""

import hashlib
import json
import marshal
import os
import platform
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = ROOT / ".build"
_UNCHECKED_HASH = (1).to_bytes(4, "little")  # PEP 552: valid without a check of the source
_LEFT_OUT = {"__pycache__", "bin", "tests"}  # folders that a function does not use
_TIME = (2020, 1, 1, 0, 0, 0)
_PLATFORMS = {
    "arm64": ["manylinux_2_28_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64", "any"],
    "x86_64": ["manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64", "any"],
}
"""Architecture → the platforms whose wheels Lambda's Python 3.12 (Amazon Linux 2023, glibc 2.34) can load."""
_FORMAT = b"2"  # increase it to change the archives of the same content


def code_archive() -> Path:
    """The zip of `lambda_src`. It is built if it does not exist."""
    source = ROOT / "lambda_src"
    return _archive("code", source, _tree_hash(source))


def layer_archive(architecture: str = "") -> Path:
    """The zip of the layer: the `lambda` category of Pipfile.lock, below `python/`.

    It is built for Lambda's `architecture` ("arm64", "x86_64"), or, without one, for this machine: cryptography is
    compiled code.
    """
    locked = json.loads((ROOT / "Pipfile.lock").read_text())["lambda"]
    made_from = json.dumps([locked, architecture or _this_machine()], sort_keys=True)
    fingerprint = hashlib.sha256(made_from.encode() + MAGIC_NUMBER + _FORMAT).hexdigest()
    if (archive := _path("layer", fingerprint)).exists():
        return archive
    with tempfile.TemporaryDirectory() as folder:
        _install(locked, Path(folder, "python"), _PLATFORMS[architecture] if architecture else [])
        return _archive("layer", Path(folder), fingerprint)


def _this_machine() -> str:
    return f"{platform.system()}-{platform.machine()}"


def _install(locked: dict[str, dict[str, object]], target: Path, platforms: list[str]) -> None:
    """Install with pip: hashes are required, and only wheels for these platforms are allowed."""
    lines = [
        f"{name}{package['version']} " + " ".join(f"--hash={digest}" for digest in _strings(package["hashes"]))
        for name, package in sorted(locked.items())
    ]
    requirements = target.parent / "requirements.txt"
    requirements.write_text("\n".join(lines))
    command = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-compile", "--require-hashes"]
    command += ["--only-binary=:all:", *(["--python-version", "3.12"] if platforms else [])]
    command += [f"--platform={name}" for name in platforms]
    subprocess.run([*command, "--target", str(target), "-r", str(requirements)], check=True)
    requirements.unlink()


def _strings(values: object) -> Iterable[str]:
    return [str(value) for value in values] if isinstance(values, list) else []


def _archive(kind: str, source: Path, fingerprint: str) -> Path:
    path = _path(kind, fingerprint)
    if not path.exists():
        BUILD.mkdir(exist_ok=True)
        write_archive(source, path)
    return path


def _path(kind: str, fingerprint: str) -> Path:
    return BUILD / f"{kind}-{fingerprint[:16]}.zip"


def _files(source: Path) -> list[Path]:
    files = sorted(path for path in source.rglob("*") if path.is_file() and path.name != "RECORD")
    return [path for path in files if _LEFT_OUT.isdisjoint(path.relative_to(source).parts)]


def _tree_hash(source: Path) -> str:
    digest = hashlib.sha256(MAGIC_NUMBER + _FORMAT)
    for path in _files(source):
        digest.update(f"{path.relative_to(source).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def write_archive(source: Path, target: Path) -> None:
    """Zip a folder with sorted names, fixed times and modes, and bytecode beside every module."""
    unfinished = target.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(source):
            name = path.relative_to(source).as_posix()
            content = path.read_bytes()
            _add(archive, name, content)
            if path.suffix == ".py":
                folder, _, module = name.rpartition("/")
                _add(
                    archive,
                    f"{folder}/__pycache__/{module[:-3]}.{sys.implementation.cache_tag}.pyc".lstrip("/"),
                    _bytecode(content, name),
                )
    unfinished.rename(target)


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def _bytecode(source: bytes, name: str) -> bytes:
    code = compile(source, name, "exec", dont_inherit=True)
    # marshal version 2 writes no references, which depend on other objects in the process, and writes sets sorted
    return MAGIC_NUMBER + _UNCHECKED_HASH + source_hash(source) + marshal.dumps(code, 2)
