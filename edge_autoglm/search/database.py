"""An Optuna storage in a database, which several processes may make at the same moment."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

_TRIES = 12
_WAIT = 0.1, 0.5  # seconds, at random: those who met are not to meet again
_LOCKED_S = 60  # SQLite waits so long for another process's write; 5 s by itself
_MET = ("exists", "unique", "duplicate", "locked")
"""What databases say (table already exists, UNIQUE constraint failed, duplicate key value,
database is locked) where another process made the same thing first."""


def open_database(url: str) -> Any:
    """The RDBStorage at `url`, made where there is none.

    Optuna looks for each table and row before it makes it, and loses when another process makes it
    in between; what is there then is found by the next try. An SQLite file that was made here and
    stayed empty goes again where that fails. Raises what Optuna, SQLAlchemy and the driver raise.
    """
    from optuna.storages import RDBStorage

    file = _file(url)
    made = file is not None and not file.exists()
    options = {"connect_args": {"timeout": _LOCKED_S}} if file is not None else {}
    try:
        for _ in range(_TRIES - 1):
            try:
                return RDBStorage(url, engine_kwargs=options)
            except Exception as error:
                if not any(word in str(error).lower() for word in _MET):
                    raise
            time.sleep(random.uniform(*_WAIT))
        return RDBStorage(url, engine_kwargs=options)
    except BaseException:
        if made and file is not None:
            with suppress(OSError):
                if file.stat().st_size == 0:
                    file.unlink()
        raise


def _file(url: str) -> Path | None:
    """Where an SQLite database lies."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except ArgumentError:
        return None
    if parts.get_backend_name() != "sqlite" or not parts.database or parts.database == ":memory:":
        return None
    return Path(parts.database)
