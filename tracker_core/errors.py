"""Every exception of the project, and the outcome each one stands for.

::

    TrackerError
    ├── CannotRun                  the run as a whole cannot start or go on (exit code 2)
    │   ├── SettingsError          a setting is wrong or contradicts another
    │   ├── ManifestError          the manifest cannot be understood
    │   ├── ModelError             a model file is missing, or not the one it says it is
    │   └── CatalogError           the database cannot be reached, or has another schema
    └── VideoError                 one video ends as failed; the others go on
        ├── Unreadable             unreadable         no container or codec could be opened
        ├── NoVideoStream          no_video_stream    audio only, cover art, subtitles
        ├── NoFrames               no_frames          a video stream without one decodable frame
        ├── Damaged                damaged            more of it is damaged than the settings allow
        ├── TooLarge               too_large          over a limit of the settings
        ├── EmptySegment           empty_segment      no frame between the given start and end
        ├── NoPerson               no_person          nobody was found in any frame
        ├── MissingFile            missing_file       the file is not where the manifest says
        ├── Unexpected             unexpected         a bug or a surprise
        └── Retryable              may succeed when tried again
            ├── TimedOut           timed_out          a stage ran past its time limit
            ├── WorkerCrashed      worker_crashed     the process of a stage died
            └── StorageError       storage            artifact store or catalog failed for a moment

``code`` is what the catalog's ``jobs.error_code`` holds; the message is one sentence that a person
can act on. All of them survive pickling, since stages run in other processes.
"""

from __future__ import annotations

from typing import ClassVar


class TrackerError(Exception):
    """Base of every error the project raises on purpose."""


class CannotRun(TrackerError):
    """The run as a whole cannot start or go on."""


class SettingsError(CannotRun):
    """A setting is wrong or contradicts another."""


class ManifestError(CannotRun):
    """The manifest cannot be understood."""


class ModelError(CannotRun):
    """A model file is missing, or is not the file it says it is."""


class CatalogError(CannotRun):
    """The catalog cannot be reached, or its schema is not ours."""


class VideoError(TrackerError):
    """One video cannot be processed; the others go on.

    Attributes:
        code: the named outcome, stored in ``jobs.error_code``.
        retryable: whether trying again, with nothing changed, may succeed.
    """

    code: ClassVar[str] = "failed"
    retryable: ClassVar[bool] = False


class Unreadable(VideoError):
    code = "unreadable"


class NoVideoStream(VideoError):
    code = "no_video_stream"


class NoFrames(VideoError):
    code = "no_frames"


class Damaged(VideoError):
    code = "damaged"


class TooLarge(VideoError):
    code = "too_large"


class EmptySegment(VideoError):
    code = "empty_segment"


class NoPerson(VideoError):
    code = "no_person"


class MissingFile(VideoError):
    code = "missing_file"


class Unexpected(VideoError):
    """A bug or a surprise: the next run tries again; trying twice in one would repeat it."""

    code = "unexpected"
    retryable = True


class Retryable(VideoError):
    """A failure of the moment: the same work may succeed when tried again."""

    code = "retryable"
    retryable = True


class TimedOut(Retryable):
    code = "timed_out"


class WorkerCrashed(Retryable):
    code = "worker_crashed"


class StorageError(Retryable):
    code = "storage"
