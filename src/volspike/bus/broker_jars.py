"""The jars of a local Kafka broker: resolved once by Maven from ``local_broker.xml``, then cached."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from volspike.errors import BusError
from volspike.recording.lock import held

OLDEST_JAVA = 17
_POM = Path(__file__).with_name("local_broker.xml")
_INSTALL_JAVA = f"install Java {OLDEST_JAVA} or later (Debian: apt-get install openjdk-17-jre-headless)"
_INSTALL_MAVEN = "install Maven (Debian: apt-get install maven); it is needed once, to fetch the broker"
_MAVEN_LIMIT_S = 600.0


def kafka_version() -> str:
    """Return the version of the broker that ``broker_jars`` fetches."""
    found = re.search(r"kafka_2\.13</artifactId>\s*<version>([^<]+)<", _POM.read_text(encoding="utf-8"))
    if found is None:
        raise BusError(str(_POM), "names no Kafka version", "install volspike again")
    return found.group(1)


def broker_jars(cache: Path) -> Path:
    """Return the directory of the broker's jars under ``cache``, fetching them the first time.

    Several processes may ask at once: one fetches, the others wait. An interrupted fetch leaves nothing that
    a later one would take for whole.

    Parameters
    ----------
    cache : Path
        Made if absent; the jars go to ``kafka-<version>`` in it (44 MB).

    Raises
    ------
    BusError
        Maven is absent or fails, or the cache can't be written.
    """
    jars = cache.expanduser() / f"kafka-{kafka_version()}"
    if jars.is_dir():
        return jars
    with _locked(jars.with_suffix(".lock")):
        if not jars.is_dir():
            _fetch(jars)
    return jars


def java_command() -> str:
    """Return the Java to run, of ``JAVA_HOME`` or the path.

    Raises
    ------
    BusError
        There is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        raise BusError("java", "not found", _INSTALL_JAVA)
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version.group(1)) < OLDEST_JAVA:
        raise BusError(java, f"is not Java {OLDEST_JAVA}: {told.strip()[:80]!r}", _INSTALL_JAVA)
    return java


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with ExitStack() as lock:
        try:
            lock.enter_context(held(path))
        except OSError as error:
            remedy = "set VOLSPIKE_KAFKA_CACHE to a directory that can be written"
            raise BusError(str(path.parent), error.strerror or str(error), remedy) from error
        yield


def _fetch(jars: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise BusError("mvn", "not found", _INSTALL_MAVEN)
    staging = jars.with_suffix(".part")
    shutil.rmtree(staging, ignore_errors=True)
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={staging}", f"-f={_POM}"]
    try:
        done = subprocess.run(
            [maven, "-B", "-q", *goal], capture_output=True, text=True, check=False, timeout=_MAVEN_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        raise BusError("mvn", f"no end after {_MAVEN_LIMIT_S:.0f} s", "check the network") from None
    if done.returncode != 0 or not any(staging.glob("kafka_*.jar")):
        reason = next((line for line in done.stdout.splitlines() if "ERROR" in line), "failed")
        raise BusError("mvn", reason, "check that Maven reaches its repository")
    staging.rename(jars)
