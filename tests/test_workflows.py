"""What the workflows may do, and what set-up installs: actions by commit, packages by hash, one job that may write."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
LOCKS = {
    "constraints.txt": "dev",
    "constraints-lab.txt": "lab",
    "constraints-extras.txt": "extras",
}  # each with the extra that it holds
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PYTHONS = ["3.11", "3.12", "3.13"]
JOBS = [
    (path.name, name, job)
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
]
PUSHES = ("pages.yml", "launch")  # the one job that may write to the repository


def commands(job: dict) -> list[str]:
    """The command lines of a job's steps."""
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    return [line for script in scripts for line in script.replace("\\\n", " ").splitlines() if line.strip()]


def actions(job: dict) -> list[str]:
    """The actions that a job uses, without their commits."""
    return [step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step]


def locked(name: str) -> dict[str, list[tuple[Requirement, list[str]]]]:
    """The packages of a file of constraints: for each, the pinned versions with their markers, and the hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    packages = {}
    for line in text.splitlines():
        if line and not line.startswith(("#", "--")):
            pin, *hashes = line.split(" --hash=")
            packages.setdefault(Requirement(pin).name, []).append((Requirement(pin), hashes))
    return packages


def version(packages: dict, name: str, python: str) -> str | None:
    """The version of a package that is installed on Linux with this Python, None if there is none."""
    here = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
        "os_name": "posix",
    }
    pins = [pin for pin, _ in packages.get(name, []) if pin.marker is None or pin.marker.evaluate(here)]
    assert len(pins) < 2, f"{name} is pinned twice for Python {python}: {[str(pin) for pin in pins]}"
    return str(pins[0].specifier).removeprefix("==") if pins else None


def reader() -> list[Requirement]:
    """The ranges of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line.partition("#")[0]) for line in lines if not line.startswith("#")]


def package(extra: str) -> list[Requirement]:
    """The ranges of pyproject.toml, with those of an extra and of what builds the package."""
    ranges = [Requirement(line) for line in PROJECT["project"]["dependencies"] + of_extra(extra)]
    return ranges + [Requirement(line) for line in PROJECT["build-system"]["requires"]]


def of_extra(extra: str) -> list[str]:
    """The ranges of an extra, with those of the extras that it takes in."""
    found = []
    for line in PROJECT["project"]["optional-dependencies"][extra]:
        own = re.fullmatch(r"deepfm_helpers\[([\w,]+)\]", line)
        found += [r for name in own[1].split(",") for r in of_extra(name)] if own else [line]
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_its_commit_and_names_its_version(path):
    uses = re.findall(r"^\s*(?:- )?uses:.*$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(uses) == sum(len(actions(job)) for file, _, job in JOBS if file == path.name) > 0
    for line in uses:
        assert re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_an_action_has_one_commit_in_all_workflows():
    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    pins = set(re.findall(r"uses: (\S+)@(\w+ # \S+)", text))
    assert len(pins) == len({action for action, _ in pins}), sorted(pins)


def test_only_the_job_that_pushes_may_write_to_the_repository():
    for path in WORKFLOWS:
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {"contents": "read"}, (
            path.name
        )
    rights = {(file, name): job.get("permissions", {}) for file, name, job in JOBS}
    assert rights.pop(PUSHES) == {"contents": "write"}
    for job, right in rights.items():
        assert right in ({}, {"pages": "write", "id-token": "write"}), job


def test_the_job_that_pushes_starts_from_main_and_runs_only_git():
    (job,) = [job for file, name, job in JOBS if (file, name) == PUSHES]
    assert job["if"] == "github.ref == 'refs/heads/main'"
    assert actions(job) == ["actions/checkout", "actions/download-artifact"]
    assert commands(job)
    assert {shlex.split(line)[0] for line in commands(job)} == {"git"}
    assert not any("&&" in line or ";" in line or "|" in line or "$(" in line for line in commands(job))


@pytest.mark.parametrize(("file", "name", "job"), JOBS, ids=[f"{file}:{name}" for file, name, _ in JOBS])
def test_a_job_that_runs_dependencies_keeps_no_token(file, name, job):
    for step in job["steps"]:
        if step.get("uses", "").startswith("actions/checkout@") and (file, name) != PUSHES:
            assert step["with"]["persist-credentials"] is False


def test_what_is_installed_for_the_checks_and_the_book_is_verified_by_hash():
    lines = [line for file, _, job in JOBS if file != "newest.yml" for line in commands(job)]
    lines += (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
    lines += (ROOT / "binder" / "postBuild").read_text(encoding="utf-8").splitlines()
    installs = [line for line in lines if "pip install" in line and not line.lstrip().startswith("@echo")]
    assert len(installs) >= 5
    for line in installs:
        assert "--require-hashes" in line or ("--no-deps" in line and "--no-build-isolation" in line), line


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_one_version_and_hashes(name):
    packages = locked(name)
    assert len(packages) > 100
    for pin, hashes in (entry for entries in packages.values() for entry in entries):
        assert re.fullmatch(r"==[\w.+!]+", str(pin.specifier)), pin
        assert hashes, pin
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}\s*", value) for value in hashes), pin


@pytest.mark.parametrize("name", LOCKS)
def test_locked_packages_are_wheels_from_no_named_index(name):
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert "--only-binary :all:" in lines
    assert not [line for line in lines if "://" in line or "index-url" in line or "find-links" in line]
    assert any(f"--output-file {name}" in line for line in lines[:3]), "the command that makes it again"


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_locked_versions_are_those_asked_for(name, python):
    packages = locked(name)
    for requirement in reader() + package(LOCKS[name]):
        found = version(packages, requirement.name, python)
        assert found is not None, f"{requirement} is not in {name}"
        assert requirement.specifier.contains(found), f"{name}: {requirement.name} {found}, not {requirement}"


@pytest.mark.parametrize("python", PYTHONS)
def test_all_locks_hold_the_same_versions(python):
    locks = [locked(name) for name in LOCKS]
    for name in {name for lock in locks for name in lock}:
        versions = {version(lock, name, python) for lock in locks} - {None}
        assert len(versions) < 2, f"{name}: {versions}"


def test_the_reader_and_the_package_ask_for_the_same_ranges():
    ranges = {requirement.name: requirement.specifier for requirement in package("dev")}
    both = [requirement for requirement in reader() if requirement.name in ranges]
    assert len(both) > 5
    for requirement in both:
        assert ranges[requirement.name] == requirement.specifier, requirement
