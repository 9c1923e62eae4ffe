"""Clusters need Dask, and say so where it is missing."""

from __future__ import annotations

import sys

import pytest

from pipelines.scenes.cluster import connected, default_workers, local_client


@pytest.mark.parametrize("name", ["dask", "distributed"])
def test_dask_is_needed(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    line = rf"^needs {name}; install it with pip install 'distmap\[scenes\]'$"
    with pytest.raises(ValueError, match=line):
        default_workers(1024, 64)
    with pytest.raises(ValueError, match=line), connected("tcp://127.0.0.1:1"):
        pass
    with pytest.raises(ValueError, match=line), local_client(2):
        pass
