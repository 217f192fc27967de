"""The services of compose.yaml as processes: the same commands and settings, on loopback."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
VARIABLES = {"COMPOSE_PROFILES": "demo", "HISTORY_HOURS": "0.5"}
_VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?::[-?]([^}]*))?\})")
_PAUSE_S = 0.5


def composed(variables: Mapping[str, str] = VARIABLES) -> dict[str, Any]:
    """Read compose.yaml with its variables replaced."""

    def value(found: re.Match[str]) -> str:
        escaped, name, otherwise = found.groups()
        return escaped or variables.get(name, otherwise or "")

    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(value, text))
    return read


def dockerfile() -> list[tuple[str, str]]:
    """Read the instructions of the Dockerfile, each with what follows it in one line."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines]


def image() -> dict[str, Any]:
    """Return what a container of the image has where its service says nothing else."""
    last: dict[str, Any] = {"environment": {}}
    for word, rest in dockerfile():
        match word:
            case "ENV":
                last["environment"] |= dict(pair.split("=", 1) for pair in shlex.split(rest))
            case "HEALTHCHECK":
                last["healthcheck"] = {"test": ["CMD", *json.loads(rest.partition("CMD ")[2])]}
            case "ENTRYPOINT":
                last["entrypoint"] = json.loads(rest)
    return last


@dataclass
class Place:
    """Where services run here: what stands in for names, ports and paths of the containers."""

    directory: Path
    names: dict[str, str]
    environment: dict[str, str] = field(default_factory=dict)

    def mapped(self, text: str) -> str:
        for name, here in sorted(self.names.items(), key=lambda pair: -len(pair[0])):
            text = text.replace(name, here)
        return text


class Container:
    """One service as a process."""

    def __init__(self, service: Mapping[str, Any], place: Place, port: str) -> None:
        self.port = port
        own = image() | dict(service)
        settings = {**image()["environment"], **own.get("environment", {}), **place.environment}
        here = {name: place.mapped(str(value)) for name, value in settings.items()}
        # Code compiled by the tests before stays compiled, and the programs are those beside this Python.
        here.pop("NUMBA_CACHE_DIR")
        here["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        kept = {name: value for name, value in os.environ.items() if not name.startswith("VOLSPIKE_")}
        self._environment = {**kept, **here}
        self._command = [place.mapped(word) for word in [*own["entrypoint"], *own["command"]]]
        self._test = [place.mapped(word) for word in own["healthcheck"].get("test", [])[1:]]
        self._place = place
        self._output = place.directory / f"output-{id(self)}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._output.open("wb") as output:
            self._process = self._spawn(self._command, output)

    def finish(self, limit_s: float) -> int:
        """Wait for the end, and return the exit code."""
        assert self._process is not None
        return self._process.wait(limit_s)

    def stop(self, limit_s: float = 30.0) -> int:
        """End it as Docker does, and return the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self.finish(limit_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self.finish(limit_s)

    def await_health(self, limit_s: float) -> None:
        """Ask as Docker asks, until the answer is good."""
        deadline = time.monotonic() + limit_s
        assert self._process is not None
        while (asked := self._spawn(self._test, subprocess.DEVNULL)).wait(10) != 0:
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(_PAUSE_S)
        assert asked.returncode == 0

    def said(self) -> str:
        return self._output.read_text(encoding="utf-8", errors="replace")[-3_000:]

    def _spawn(self, command: Sequence[str], output: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            env=self._environment,
            cwd=self._place.directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
