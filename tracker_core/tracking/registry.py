"""Which providers there are. A new one is a module here and a line in `PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracker_core.errors import SettingsError
from tracker_core.tracking.holistic.provider import HolisticProvider
from tracker_core.tracking.mediapipe import MediaPipeProvider
from tracker_core.tracking.models import ModelStore
from tracker_core.tracking.provider import TrackingProvider

Options = Mapping[str, Any]

# Each is made from the model store and the options that `Settings` and the stage keys carry.
PROVIDERS: dict[str, Callable[[ModelStore, Options], TrackingProvider]] = {
    "holistic": lambda models, options: HolisticProvider(
        models, options["engine"], options["speed"], options["face_mesh"], options["parity"]
    ),
    "mediapipe": lambda models, options: MediaPipeProvider(models, options["face_detector"]),
}


def provider(name: str, models: ModelStore, options: Options) -> TrackingProvider:
    """The provider called ``name``. Raises SettingsError, naming those there are."""
    if name not in PROVIDERS:
        raise SettingsError(
            f"there is no tracking provider {name!r}: set TRACKING_PROVIDER (or --provider) to "
            f"one of {', '.join(sorted(PROVIDERS))}"
        )
    return PROVIDERS[name](models, options)
