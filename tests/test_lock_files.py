"""The lock files hold all that is needed, so that nothing has to be resolved when they are installed."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_every_package_that_a_pinned_one_requires_is_pinned_too(name: str) -> None:
    """With hashes pip refuses to resolve extras of pinned packages, so it is told not to resolve."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    pinned = {
        canonicalize_name(line) for line in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", text, re.M)
    }
    missing = set()
    for package in sorted(pinned):
        try:
            required = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            continue  # of another platform or Python
        for requirement in map(Requirement, required):
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if applies and canonicalize_name(requirement.name) not in pinned:
                missing.add(f"{package} needs {requirement.name}")
    assert missing == set()


def test_what_is_installed_fits_together() -> None:
    text = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ \\\n;]+)", text, re.M))
    wrong = set()
    for package in versions:
        try:
            required = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            continue
        for requirement in map(Requirement, required):
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            version = versions.get(canonicalize_name(requirement.name))
            if (
                applies
                and version is not None
                and not requirement.specifier.contains(version, prereleases=True)
            ):
                wrong.add(f"{package} wants {requirement}, {version} is pinned")
    assert wrong == set()
