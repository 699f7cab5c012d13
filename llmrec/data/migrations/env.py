"""What alembic runs around every revision: the caller's connection, inside the caller's transaction."""

from alembic import context

from llmrec.data.migrations import VERSION_TABLE
from llmrec.data.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
