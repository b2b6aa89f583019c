"""Every exception stands in the tree, has a code of its own, and survives another process."""

from __future__ import annotations

import pickle

import pytest

from tracker_core import errors
from tracker_core.errors import Retryable, TrackerError, VideoError


def _all(kind: type[TrackerError]) -> list[type[TrackerError]]:
    return [kind] + [deeper for child in kind.__subclasses__() for deeper in _all(child)]


@pytest.mark.parametrize("kind", _all(TrackerError))
def test_it_stands_in_the_tree_and_can_be_pickled(kind: type[TrackerError]) -> None:
    assert errors.__doc__
    assert kind.__name__ in errors.__doc__
    again = pickle.loads(pickle.dumps(kind("a sentence")))
    assert type(again) is kind
    assert str(again) == "a sentence"


def test_codes_are_names_of_their_own() -> None:
    codes = [kind.code for kind in _all(VideoError) if issubclass(kind, VideoError)]
    assert len(set(codes)) == len(codes)
    bases = {VideoError.code, Retryable.code}
    assert all(f" {code} " in (errors.__doc__ or "") for code in codes if code not in bases)
