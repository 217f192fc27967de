"""The live view at several widths: every figure whole, and nothing higher than the terminal."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from rich.console import Console

from shown_job import BETTER, BOARD, NOW_NS, NS, job, manifest
from volspike.cli.summary import gaps_text, scored_text
from volspike.cli.view import View, status_line
from volspike.cli.view_scores import model_words
from volspike.models.standing import Entry, Standing
from volspike.pipeline.life import Life, life_of
from volspike.records import DriftAlarm

SCREENS = Path(__file__).parent / "screens"
SIZES = {80: 24, 100: 30, 120: 40}
FIGURES = ("73,790.91", "0.0000123455", "15.54", "10.80", "7.1 - 12.8", "14.85 a", "0.512")


def screen(width: int, height: int, shown: Any) -> list[str]:
    """Return the lines of a view on a terminal of a size."""
    out = Console(width=width, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
    out.print(View(shown, "volspike demo: a synthetic market at x10").render(out))
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", SIZES)
def test_the_view_is_as_drawn(width: int) -> None:
    drawn = (SCREENS / f"view-{width}.txt").read_text(encoding="utf-8").splitlines()
    assert screen(width, SIZES[width], job()) == drawn


@pytest.mark.parametrize("width", [80, 89, 95, 96, 97, 100, 114, 115, 120, 200])
def test_no_figure_is_ever_cut(width: int) -> None:
    text = "\n".join(screen(width, 50, job()))
    assert all(figure in text for figure in FIGURES), text
    assert "…" not in text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 30), (100, 24), (120, 24), (120, 60)])
@pytest.mark.parametrize("alerts", [0, 1, 6])
def test_the_view_fits_the_terminal_and_always_shows_an_alert(width: int, height: int, alerts: int) -> None:
    lines = screen(width, height, job(alerts=alerts))
    assert len(lines) <= height
    assert any(
        ("closed after" if alerts > 1 else "opened" if alerts else "none yet") in line for line in lines
    )
    assert lines[-1] == ""  # the terminal's ^C goes here


def test_what_is_left_out_for_want_of_room_is_said() -> None:
    assert "1 scoreboard in a higher window" in "\n".join(screen(80, 24, job()))
    assert "higher window" not in "\n".join(screen(80, 40, job()))


def test_without_a_model_the_market_is_shown_and_a_note() -> None:
    lines = screen(80, 24, job(models=False))
    (shib,) = [line for line in lines if line.strip().startswith("SHIB-USD  ")]
    assert "0.0000123455" in shib
    assert "15.54" in shib
    assert "BTC-USD: no model yet; recorded 0.0 h in this run, then volspike train" in lines


@pytest.mark.parametrize(
    ("has_failed", "words"),
    [(False, "its first is trained after 24 h, or by volspike train"), (True, "its training has failed")],
)
def test_how_a_product_comes_by_its_first_model_is_said(has_failed: bool, words: str) -> None:
    shown = job(models=False)
    life = Life(None, None, {}, True, has_failed)
    shown.caretaking = SimpleNamespace(
        first_after_hours=24.0, lives={"BTC-USD": life}, alarms=[], newest=None
    )
    lines = " ".join("\n".join(screen(100, 30, shown)).split())
    assert f"BTC-USD: no model yet; recorded 0.0 h in this run, {words}" in lines


def test_a_model_is_named_with_what_must_be_known_of_it() -> None:
    assert model_words(manifest()) == "logistic"
    note = "does not beat the reference, persistence, on tune: log-loss 0.3 against 0.2"
    words = model_words(manifest(False, "fit: not enough data", note))
    assert words == "logistic (uncalibrated, does not beat the reference on tune)"
    # Calibrated, but on a slice that proves nothing.
    thin = "calibrate: not enough data (1 cluster, 20 windows, 2 blocks)"
    assert model_words(manifest(True, thin)) == "logistic (calibrated on too little)"


@pytest.mark.parametrize("width", [80, 100, 120])
def test_a_prediction_is_shown_with_what_it_is_marked_with(width: int) -> None:
    shown = job()
    scoring = shown.pipeline.scoring["BTC-USD"]
    assert not any("expiry" in line or "unlike" in line for line in screen(width, 40, shown))
    scoring.prediction = msgspec.structs.replace(scoring.prediction, out_of_distribution=True, stale=True)
    words = "BTC-USD: unlike the rows of training, model past its expiry"
    assert words in screen(width, 40, shown)
    assert "p(spike) 0.512 (unlike the rows of training, model past its expiry)" in status_line(shown)


@pytest.mark.parametrize("width", [80, 100])
def test_the_life_of_the_models_is_on_the_board_and_an_alarm_among_the_alerts(width: int) -> None:
    shown, version = job(), "81bb29277dbd"
    assert "champion" not in "\n".join(screen(width, 60, shown))
    for bundle in shown.bundles.values():
        bundle.manifest.version = version
    standing = Standing(
        "BTC-USD", "exchange", "logistic", version, challenger=Entry("xgboost", "626da51fa152")
    )
    alarm = DriftAlarm("a1", "BTC-USD", "logistic", version, NOW_NS + 200 * NS, "log_loss: e^9")
    lives = {"BTC-USD": life_of(standing, [], is_tended=True)}
    shown.caretaking = SimpleNamespace(lives=lives, alarms=[alarm], newest=None)
    lines = screen(width, 60, shown)
    text = " ".join(lines)
    assert "champion 81bb29277dbd, on trial: xgboost 626da51fa152, drift: none" in text
    assert text.count("on trial") == 1
    assert "alerts: 2, drift alarms: 1" in text
    panel = lines.index(next(line for line in lines if "drift alarms" in line))
    assert "00:03:20 BTC-USD DRIFT logistic 81bb29277dbd: log_loss" in lines[panel + 1]


@pytest.mark.parametrize("duty_frac", [0.364, 1.0])
def test_at_80_columns_the_widest_figures_of_a_board_are_whole(duty_frac: float) -> None:
    wide = msgspec.structs.replace(BETTER, lift=12.34, lead_s=123.0, false_alarms_per_hour=101.5)
    side = msgspec.structs.replace(wide, duty_frac=duty_frac, onset_recall=1.0)
    shown = job()
    board = msgspec.structs.replace(BOARD, model=side, reference=side)
    for scoring in shown.pipeline.scoring.values():
        scoring.board = SimpleNamespace(snapshot=lambda: board)
    text = "\n".join(screen(80, 50, shown))
    assert "…" not in text
    assert f"{duty_frac:.1%}" in text


def test_what_has_stopped_is_shown() -> None:
    shown = job()
    shown.pipeline.failures = {"features": "no space left", "log": "is damaged"}
    text = "\n".join(screen(80, 40, shown))
    assert "FEATURES STOPPED: no space left" in text
    assert "LOG STOPPED: is damaged" in text


def test_a_start_after_an_earlier_run_is_no_fault_of_the_feed() -> None:
    shown = job()
    assert gaps_text(shown) == "2 (start)"
    shown.pipeline.counts.gaps.update(session=1, heartbeats=2)
    assert gaps_text(shown) == "5 (heartbeats 2, start 2, reconnect once)"
    shown.pipeline.counts.gaps.clear()
    assert gaps_text(shown) == "0"


def test_seconds_on_the_scoreboard_are_not_called_as_graded_predictions_are() -> None:
    """There are more of the one than of the other, and both were called graded."""
    shown = job()
    boards = len(shown.pipeline.scoring)
    assert f"{boards * BOARD.rows:,} s on the scoreboard: of each the last prediction" in scored_text(shown)
    assert not any(" s graded" in line for line in screen(100, 50, shown))
    assert " outcome" in status_line(shown)
