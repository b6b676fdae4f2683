from migrations.environment import migrate
from migrations.models.party import METADATA

migrate(METADATA)
