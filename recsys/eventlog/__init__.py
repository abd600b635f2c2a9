"""The durable log of events, catalog changes and identities."""
