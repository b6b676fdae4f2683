from migrations.environment import migrate

migrate()
