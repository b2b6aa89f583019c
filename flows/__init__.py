"""Prefect flows, and the shell's door to them.

Importing this package sets Prefect's defaults (see `flows.defaults`) before Prefect is imported.
"""

from flows import defaults

defaults.apply()
