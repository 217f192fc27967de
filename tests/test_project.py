"""Rules of the project as a whole: imports of help, clocks, file sizes, requirements, schemas."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import volspike
from volspike.schemas import RECORDS, record_schemas

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "volspike").rglob("*.py"))
VERBS = (
    "demo",
    "run",
    "ingest",
    "featurize",
    "score",
    "simulate",
    "import",
    "backfill",
    "replay",
    "verify",
    "train",
    "evaluate",
    "audit",
    "predict",
    "threshold",
    "reproduce",
    "drift",
    "models",
    "topics",
    "deadletter list",
    "deadletter show",
    "deadletter requeue",
    "doctor",
    "config",
)
HEAVY = (
    "numpy",
    "numba",
    "pandas",
    "polars",
    "pyarrow",
    "sklearn",
    "xgboost",
    "mlflow",
    "matplotlib",
    "pydantic",
    "pydantic_settings",
    "websockets",
    "httpx",
    "zstandard",
    "confluent_kafka",
    "prometheus_client",
    "evidently",
)
HELP_OF_ALL = f"""
import io, json, sys, contextlib
from volspike.__main__ import main
texts, modules = {{}}, {{}}
for verb in [None, *{VERBS!r}]:
    sys.argv = ["volspike", *(verb or "").split(), "--help"]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as end:
            assert not end.code, (verb, end.code)
    texts[verb or ""] = said.getvalue()
    modules[verb or ""] = sorted({{name.partition(".")[0] for name in sys.modules}})
json.dump({{"texts": texts, "modules": modules}}, sys.stdout)
"""
CLOCK_CALLS = {
    "time.time",
    "time.time_ns",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "datetime.datetime.now",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "date.today",
}
RANDOM_MODULES = {"random", "np.random", "numpy.random"}
SEEDED = {"Random", "default_rng", "Generator", "PCG64"}
CLOCK_HOMES = ("clock.py", "simulation/")


@pytest.fixture(scope="module")
def help_of_all() -> dict[str, object]:
    done = subprocess.run([sys.executable, "-c", HELP_OF_ALL], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_help_of_every_verb_imports_nothing_heavy(help_of_all) -> None:
    for verb, modules in help_of_all["modules"].items():
        assert set(modules).isdisjoint(HEAVY), (verb, sorted(set(modules) & set(HEAVY)))


def test_help_names_every_verb_and_every_verb_has_help(help_of_all) -> None:
    texts = help_of_all["texts"]
    assert all(verb.split()[0] in texts[""] for verb in VERBS)
    assert all("--json" in texts[verb] and "Usage: volspike" in texts[verb] for verb in VERBS)


def test_every_verb_takes_the_data_directory_but_those_that_keep_nothing(help_of_all) -> None:
    without = [verb for verb in VERBS if "--data-dir" not in help_of_all["texts"][verb]]
    assert without == ["simulate", "reproduce"]


def test_the_package_offers_its_version_and_nothing_else() -> None:
    names = {name for name in vars(volspike) if not name.startswith("_")}
    submodules = {path.stem for path in (ROOT / "src" / "volspike").iterdir()}
    assert names <= submodules
    assert volspike.__version__ in (ROOT / "pyproject.toml").read_text()


def test_package_markers_hold_a_docstring_only() -> None:
    inits = [path for path in SOURCES if path.name == "__init__.py" and path.parent.name != "volspike"]
    assert inits
    for path in inits:
        body = ast.parse(path.read_text()).body
        assert len(body) == 1, path
        assert isinstance(body[0], ast.Expr), path


def test_no_file_is_longer_than_500_lines() -> None:
    long = {str(path): lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 500}
    assert not long


def test_requirements_are_hashed_and_name_no_address() -> None:
    files = sorted((ROOT / "requirements").glob("*.txt"))
    assert files
    for path in files:
        text = path.read_text()
        assert "://" not in text, path
        assert not [line for line in text.splitlines() if line.startswith(("--", "-i", "-f"))], path
        assert text.count("--hash=sha256:") >= text.count("=="), path


def test_only_the_clock_and_the_simulation_read_the_time_or_draw_unseeded() -> None:
    found = [f"{path}: {call}" for path in SOURCES if not _may(path) for call in _impure_calls(path)]
    assert not found


def test_the_rule_against_clocks_sees_a_breach(tmp_path: Path) -> None:
    breach = tmp_path / "breach.py"
    breach.write_text(
        "import random, time\nfrom time import time_ns\nfrom datetime import datetime\n"
        "time.time(); time_ns(); datetime.now()\n"
        "random.random(); random.Random(7).random(); random.Random()\n"
    )
    assert sorted(_impure_calls(breach)) == [
        "datetime.now",
        "random.Random()",
        "random.random",
        "time.time",
        "time.time_ns",
    ]


def test_nothing_loads_a_pickle() -> None:
    for path in SOURCES:
        assert not _imported(path) & {"pickle", "cloudpickle", "joblib", "dill", "shelve", "marshal"}, path


def test_checked_in_schemas_are_those_of_the_records() -> None:
    stored = {path.name: path.read_text() for path in (ROOT / "docs" / "schemas").iterdir()}
    assert stored == dict(record_schemas()), "run: python -m volspike.schemas docs/schemas"


def test_fields_that_describe_the_run_are_marked_measured() -> None:
    measured = {"receive_ns", "latency_ns", "late"}
    seen = set()
    for name, text in record_schemas():
        fields = next(iter(json.loads(text)["$defs"].values()))["properties"]
        assert fields["v"]["default"] == 1, name
        for field, schema in fields.items():
            assert bool(schema.get("measured")) == (field in measured), f"{name} {field}"
            seen |= {field} & measured
    assert seen == measured


def test_every_record_has_a_kind_of_its_own() -> None:
    kinds = [record.__struct_config__.tag for record in RECORDS]
    assert len(set(kinds)) == len(kinds) == 9


def _may(path: Path) -> bool:
    relative = path.relative_to(ROOT / "src" / "volspike").as_posix()
    return relative.startswith(CLOCK_HOMES)


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _impure_calls(path: Path) -> list[str]:
    """Return the calls that read a clock or an unseeded generator."""
    tree = ast.parse(path.read_text())
    aliases = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in ("time", "random", "numpy")
        for alias in node.names
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = aliases.get(ast.unparse(node.func), ast.unparse(node.func))
        module, _, function = name.rpartition(".")
        if name in CLOCK_CALLS or (module in RANDOM_MODULES and function not in SEEDED):
            found.append(name)
        elif module in RANDOM_MODULES and function in ("Random", "default_rng") and not node.args:
            found.append(f"{name}()")
    return found
