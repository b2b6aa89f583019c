"""Decode, one of our providers, and nothing else. No result is kept.

::

    python -m benchmarks.provider_loop FOLDER --workers 2 --set tracking_provider=holistic

Prints JSON: the numbers of frames; how often each network ran, where the session counts that; and
at what speed (the setting), since the networks' cost depends on it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import cv2

from benchmarks.loops import over_clips, views
from tracker_core.settings import load_settings
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import TrackingProvider
from tracker_core.tracking.registry import provider


def provider_of(overrides: Mapping[str, str]) -> TrackingProvider:
    """The provider that the settings name, with its options from them."""
    settings = load_settings(overrides)
    models = ModelStore(settings.models_dir)
    return provider(settings.tracking_provider, models, settings.model_dump(mode="json"))


def track_clip(clip: Path, overrides: Mapping[str, str]) -> tuple[int, Counter[str]]:
    """Run a fresh session over all frames of one clip.

    Returns how many there were, and network -> how often it ran (empty where nobody counts).
    """
    cv2.setNumThreads(1)  # as in the processes of the stages
    with provider_of(overrides).session() as session:
        frames = sum(1 for _ in session.track(views(clip)))
        calls: Counter[str] = Counter(getattr(session, "calls", {}))
    return frames, calls


def assignment(text: str) -> tuple[str, str]:
    """NAME=VALUE, taken apart."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.lower(), value


def main(arguments: list[str] | None = None) -> None:
    """Track every file of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--set", type=assignment, action="append", default=[], dest="settings")
    given = parser.parse_args(arguments)
    work = partial(track_clip, overrides=dict(given.settings))
    done = over_clips(work, given.folder, given.workers)
    frames = [count for count, _ in done]
    calls = sum((counted for _, counted in done), Counter[str]())
    report = {"frames": frames, "calls": calls, "speed": load_settings(dict(given.settings)).speed}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
