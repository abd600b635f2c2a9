"""The live log in a PostgreSQL database, which several servers share."""
