"""Locked dependencies: the same from every package index."""

import json
import re
import subprocess
from typing import Any

import pytest

from lib.package import ROOT

LOCK: dict[str, Any] = json.loads((ROOT / "Pipfile.lock").read_text())
REQUIREMENTS = ROOT / "tools" / "checkov" / "requirements.txt"
NODE_TOOLS = sorted((ROOT / "tools").glob("*/package-lock.json"))


def test_pipfile_lock_when_read_then_it_names_no_index() -> None:
    packages = [p for section, by_name in LOCK.items() if section != "_meta" for p in by_name.values()]

    assert LOCK["_meta"]["sources"] == []
    assert packages
    assert not any("index" in package for package in packages)
    assert "://" not in (ROOT / "Pipfile.lock").read_text()
    assert "[[source]]\n" not in (ROOT / "Pipfile").read_text()


def test_pipfile_lock_gives_lambda_and_tests_the_same_releases() -> None:
    shared = LOCK["lambda"].keys() & LOCK["default"].keys()

    assert LOCK["lambda"].keys() - shared == set()
    assert {name: LOCK["lambda"][name]["version"] for name in shared} == {
        name: LOCK["default"][name]["version"] for name in shared
    }


def test_checkov_requirements_are_pinned_with_hashes_and_name_no_index() -> None:
    text = REQUIREMENTS.read_text().replace("\\\n", " ")
    pinned = re.compile(r"[a-z0-9][a-z0-9._-]*==\S+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+")

    assert len(text.splitlines()) > 50
    assert [line for line in text.splitlines() if not pinned.fullmatch(line.strip())] == []


@pytest.mark.parametrize("lock", NODE_TOOLS, ids=lambda path: path.parent.name)
def test_package_lock_has_a_hash_for_each_package_and_no_registry(lock: Any) -> None:
    packages = json.loads(lock.read_text())["packages"]

    assert len(packages) > 1  # the first is the tool itself
    assert [name for name, package in packages.items() if name and not package.keys() & {"integrity", "inBundle"}] == []
    assert [name for name, package in packages.items() if "resolved" in package] == []


def test_tracked_files_when_searched_then_none_names_a_package_index() -> None:
    # the host of an index, assembled so that this file does not contain it either
    hosts = ["pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "registry.yarnpkg" + ".com"]
    patterns = [option for host in hosts for option in ("-e", host)]
    run = subprocess.run(
        ["git", "grep", "-I", "-l", "-F", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert run.stdout.splitlines() == []
    assert run.returncode == 1, run.stderr  # 1: searched, and found nothing


def test_pipenv_is_installed_with_hashes_in_the_version_of_the_makefile() -> None:
    """It installs everything else: a changed release of it could change all of that."""
    locked = (ROOT / "tools" / "pipenv.txt").read_text()
    makefile = (ROOT / "Makefile").read_text()
    version = re.search(r"^PIPENV_VERSION := (\S+)$", makefile, re.MULTILINE)

    assert version
    assert f"pipenv=={version[1]} " in locked
    assert "--require-hashes --requirement tools/pipenv.txt" in makefile
    pinned = re.findall(r"^(\S+)==(\S+) \\\n    --hash=sha256:([0-9a-f]{64})$", locked, re.MULTILINE)
    assert len(pinned) == len(re.findall("^[a-z]", locked, re.MULTILINE)) > 5
