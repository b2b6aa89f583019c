"""How alembic runs here: over the connection that `Catalog.create` opened."""

from alembic import context
from sqlmodel import SQLModel

from tracker_core.store import schema  # noqa: F401 - registers the tables

connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=SQLModel.metadata, render_as_batch=True,
    compare_type=True,
)  # fmt: skip
with context.begin_transaction():
    context.run_migrations()
