"""What is installed: requirements, their pins, and the files a wheel carries."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = [
    Requirement(line)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
PINS = {canonicalize_name(each.name): each for each in CONSTRAINTS}


def needed(requirement: Requirement, seen: set[str]) -> set[str]:
    """Names of what a requirement installs on every machine, itself included.

    What depends on the system, like the libraries of a GPU, is pinned by whoever needs it.
    """
    name = canonicalize_name(requirement.name)
    if name in seen:
        return seen
    seen.add(name)
    try:
        below = [Requirement(each) for each in requires(name) or ()]
    except PackageNotFoundError:
        return seen
    for each in below:
        marker = str(each.marker or "")
        if "platform" in marker or "implementation" in marker:
            continue
        extras = requirement.extras or {""}
        if each.marker is None or any(each.marker.evaluate({"extra": one}) for one in extras):
            needed(each, seen)
    return seen


def requirements() -> list[Requirement]:
    project = PROJECT["project"]
    extras = project["optional-dependencies"].values()
    return [Requirement(each) for group in (project["dependencies"], *extras) for each in group]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda each: each.name)
def test_everything_that_is_installed_is_pinned_to_a_version_that_fits(
    requirement: Requirement,
) -> None:
    assert needed(requirement, set()) <= set(PINS)
    (pin,) = PINS[canonicalize_name(requirement.name)].specifier
    assert requirement.specifier.contains(pin.version)


def test_a_pin_is_one_exact_release_that_every_index_has() -> None:
    for each in CONSTRAINTS:
        (pin,) = each.specifier
        assert pin.operator == "==" and re.fullmatch(r"[0-9.]+", pin.version), str(each)
        assert each.url is None and each.marker is None
    assert [each.name.lower() for each in CONSTRAINTS] == sorted(
        each.name.lower() for each in CONSTRAINTS
    )


def test_every_requirement_says_why_it_is_there() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    names = "|".join(re.escape(each.name) for each in requirements())
    found = [line for line in lines if re.match(rf'\s*"({names})[<>=]', line)]
    assert len(found) == len(requirements())
    assert [line for line in found if line.count('", ') == 0 or "# " not in line] == []


def test_the_wheel_carries_the_model_and_everything_the_package_reads() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["kvchat"]
    assert wheel["force-include"] == {"weights": "kvchat/weights"}
    for name in ("py.typed", "tui/app.tcss", "docs/changelog.md", "native/pool.cpp"):
        assert (ROOT / "kvchat" / name).is_file()
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert not {"weights/", "docs/", "*.md", "*.safetensors", "*.tcss", "*.cpp", "*.h"} & set(
        ignored
    )


def test_the_bundled_model_is_whole() -> None:
    present = {path.name for path in (ROOT / "weights").iterdir()}
    assert {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.model",
        "tokenizer_config.json",
    } <= present
