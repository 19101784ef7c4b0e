"""The Lambda packages: the same bytes from any checkout, with bytecode that loads, and no unneeded files."""

import os
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import pytest

from lib import package
from tests.infrastructure.synth import Stack

ELF_MACHINE = slice(18, 20)
AARCH64, X86_64 = b"\xb7\x00", b"\x3e\x00"
"""The offset of a compiled file's machine type, and its values (System V ABI, e_machine)."""
MAX_UNZIPPED_BYTES = 250 * 1024 * 1024
"""Lambda's limit for code and layers together."""


def _checkout(folder: Path, *, modified_at: int) -> Path:
    """A copy of the packages' sources, with its own time stamps and a stray bytecode folder."""
    for name in ("lib", "lambda_src"):
        shutil.copytree(package.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(package.ROOT / "Pipfile.lock", folder)
    stray = folder / "lambda_src" / "payments" / "__pycache__"
    stray.mkdir()
    (stray / "money.cpython-312.pyc").write_bytes(os.urandom(16))
    for path in folder.rglob("*"):
        os.utime(path, (modified_at, modified_at))
    return folder


def _build(checkout: Path, hash_seed: int, *kinds: str) -> list[Path]:
    """The archives of these kinds, built in their own process, as by a synth in that checkout."""
    calls = ", ".join(f"package.{kind}" for kind in kinds)
    made = subprocess.run(
        [sys.executable, "-c", f"from lib import package; print({calls})"],
        cwd=checkout,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return [Path(path) for path in made.stdout.split()]


@pytest.fixture(scope="module")
def archives() -> list[Path]:
    """This checkout's code and layer."""
    return [package.code_archive(), package.layer_archive("arm64")]


def test_archives_from_checkouts_of_other_times_have_the_same_bytes(tmp_path: Path, archives: list[Path]) -> None:
    checkouts = [_checkout(tmp_path / str(at), modified_at=at) for at in (1_000_000_000, 1_700_000_000)]
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(
            lambda checkout, seed: _build(checkout, seed, "code_archive()", "layer_archive('arm64')"), checkouts, (1, 2)
        )

    for one, other, ours in zip(first, second, archives, strict=True):
        assert one.name == other.name == ours.name
        assert one.read_bytes() == other.read_bytes() == ours.read_bytes()


def test_archive_when_a_line_of_code_changes_then_it_has_another_name(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path / "checkout", modified_at=1_000_000_000)
    module = checkout / "lambda_src" / "payments" / "domain" / "money.py"
    module.write_text(f"{module.read_text()}# changed\n")

    (code,) = _build(checkout, 1, "code_archive()")

    assert code.name != package.code_archive().name


def test_archives_have_bytecode_for_every_module_and_nothing_stray(
    archives: list[Path],
) -> None:
    for path in archives:
        names = [PurePosixPath(name) for name in zipfile.ZipFile(path).namelist()]
        compiled = {n.parent.parent / f"{n.name.partition('.')[0]}.py" for n in names if n.suffix == ".pyc"}

        assert {name for name in names if name.suffix == ".py"} == compiled
        assert len(names) == len(set(names))
        assert not any(part in ("bin", "tests") for name in names for part in name.parts)


def test_layer_has_binaries_only_for_its_architecture(
    archives: list[Path],
) -> None:
    for path, machine in ((archives[1], AARCH64), (package.layer_archive("x86_64"), X86_64)):
        layer = zipfile.ZipFile(path)
        compiled = [
            name for name in layer.namelist() if PurePosixPath(name).suffix in (".so", ".pyd", ".dylib", ".dll")
        ]
        assert {"cryptography", "simplejson"} <= {PurePosixPath(name).parts[1] for name in compiled}
        assert {layer.read(name)[ELF_MACHINE] for name in compiled} == {machine}


def test_code_when_listed_then_only_handlers_and_payments(archives: list[Path]) -> None:
    names = [PurePosixPath(name) for name in zipfile.ZipFile(archives[0]).namelist()]

    assert {name.parts[0] for name in names} == {"handlers", "payments"}


def test_layer_is_below_python_without_what_lambda_provides(archives: list[Path]) -> None:
    names = [PurePosixPath(name) for name in zipfile.ZipFile(archives[1]).namelist()]
    packages = {name.parts[1] for name in names}

    assert {name.parts[0] for name in names} == {"python"}
    assert {"stripe", "aws_lambda_powertools", "simplejson"} <= packages
    assert packages.isdisjoint({"boto3", "botocore", "cdktf", "ministack", "moto", "pytest"})


def test_archives_when_unzipped_then_small_enough_for_lambda(archives: list[Path]) -> None:
    size = sum(entry.file_size for path in archives for entry in zipfile.ZipFile(path).infolist())

    assert size < MAX_UNZIPPED_BYTES


def test_bytecode_loads_and_runs_even_if_the_source_is_newer(tmp_path: Path, archives: list[Path]) -> None:
    """Loaded from the bytecode alone: the source beside it is emptied, and its time stamp is now."""
    zipfile.ZipFile(archives[0]).extractall(tmp_path)
    (tmp_path / "payments" / "domain" / "statuses.py").write_text("")

    run = subprocess.run(
        [sys.executable, "-c", "from payments.domain.statuses import Status; print(Status.SUCCEEDED)"],
        env={"PYTHONPATH": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert run.stdout == "succeeded\n"


def test_functions_when_synthesised_then_they_run_these_archives(stack: Stack, archives: list[Path]) -> None:
    objects = {resource["key"]: resource for resource in stack.all("aws_s3_object").values()}

    layer = package.layer_archive(stack.settings.layer_architecture)
    assert objects.keys() == {archives[0].name, layer.name}
    for key, resource in objects.items():
        assert resource["source"] == str(package.BUILD / key)
