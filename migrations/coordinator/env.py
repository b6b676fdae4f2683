from migrations.environment import migrate
from migrations.models.coordinator import METADATA

migrate(METADATA)
