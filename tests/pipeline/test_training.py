"""A model of thin data must not take the place of a sound champion."""

import errno
import os
from pathlib import Path

import msgspec
import pytest

from volspike.models.bundle import Bundle, load_bundle, new_bundle
from volspike.models.shelf import save_bundle
from volspike.models.standing import champion_path, champions, crown_champion
from volspike.pipeline import training
from volspike.pipeline.home import Home
from volspike.pipeline.training import _is_thinner, _only_for_study


@pytest.fixture
def known(_trained: Path) -> Bundle:
    """Return the champion of a short training."""
    return load_bundle(champion_path(Home(_trained).models))


def crown(home: Home, known: Bundle, **changes: object) -> Bundle:
    bundle = new_bundle(msgspec.structs.replace(known.manifest, **changes), known.files)
    save_bundle(bundle, home.models)
    crown_champion(home.models, bundle.manifest.name, bundle.manifest.version)
    return bundle


def test_a_thin_model_does_not_replace_a_sound_champion(known: Bundle, tmp_path: Path) -> None:
    home = Home(tmp_path)
    thin = known.manifest
    assert not thin.enough_data
    assert _is_thinner(thin, home.models) == ""
    crown(home, known)
    assert _is_thinner(thin, home.models) == ""
    crown(home, known, enough_data=True)
    assert "was trained on enough data" in _is_thinner(thin, home.models)
    assert _is_thinner(msgspec.structs.replace(thin, enough_data=True), home.models) == ""
    assert _is_thinner(msgspec.structs.replace(thin, product="ETH-USD"), home.models) == ""


@pytest.mark.parametrize("target", ["std", "next-row"])
def test_a_model_for_study_is_never_promoted(known: Bundle, tmp_path: Path, target: str) -> None:
    assert "study" in _only_for_study(msgspec.structs.replace(known.manifest, target=target))


def test_a_champion_that_can_not_be_read_for_a_moment_is_not_replaced_by_a_thin_model(
    known: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    thin = known.manifest
    crown(home, known, enough_data=True)

    def refuse(_path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    # What it stands in can be read, what it consists of can't.
    found = champions(home.models)
    monkeypatch.setattr(training, "champions", lambda *_given: found)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "Input/output error" in _is_thinner(thin, home.models)


def test_a_champion_of_an_earlier_format_is_no_rival(known: Bundle, tmp_path: Path) -> None:
    home = Home(tmp_path)
    thin = msgspec.structs.replace(known.manifest, enough_data=False)
    path = save_bundle(known, home.models)
    crown_champion(home.models, known.manifest.name, known.manifest.version)
    manifest = path / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"format": 2', b'"format": 1'))
    assert _is_thinner(thin, home.models) == ""
