"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

Model = Annotated[
    str, typer.Option("--model", help="Bundle directory or models:/NAME@ALIAS.  [default: the champion]")
]
Product = Annotated[str | None, typer.Option(help="Product; needed where several are stored.")]
Feed = Annotated[str | None, typer.Option(help="Feed; needed where a product is stored from both.")]
