"""What the operator's `resume` lifts is said cap by cap, and a hold may end by itself.

Before, `cap_lifted` lifted every cap of a set for good; where it was said, it goes on to mean that:
no cap of its own, no price needed, no day's cap on any day.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("request_sets", sa.Column("held_until", sa.BigInteger(), nullable=True))
    op.add_column("request_sets", sa.Column("cap_micros", sa.BigInteger(), nullable=True))
    op.add_column(
        "request_sets",
        sa.Column("price_waived", sa.Boolean(), server_default=sa.false(), nullable=False),
    )
    op.add_column("request_sets", sa.Column("day_lifted_until", sa.BigInteger(), nullable=True))
    op.execute(
        "UPDATE request_sets SET price_waived = cap_lifted,"
        " day_lifted_until = 253402214400000000"  # 9999-12-31, in microseconds since 1970
        " WHERE cap_lifted"
    )
