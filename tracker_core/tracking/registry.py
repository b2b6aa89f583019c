"""Which providers there are. A new one is a module here and a line in `PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable

from tracker_core.errors import SettingsError
from tracker_core.tracking.mediapipe import MediaPipeProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import TrackingProvider

PROVIDERS: dict[str, Callable[[ModelStore], TrackingProvider]] = {
    "mediapipe": MediaPipeProvider,
}


def provider(name: str, models: ModelStore) -> TrackingProvider:
    """The provider called ``name``. Raises SettingsError, naming those there are."""
    if name not in PROVIDERS:
        raise SettingsError(
            f"there is no tracking provider {name!r}: set TRACKING_PROVIDER (or --provider) to "
            f"one of {', '.join(sorted(PROVIDERS))}"
        )
    return PROVIDERS[name](models)
