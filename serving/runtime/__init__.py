"""The state of a server: settings, bundle, keys, clock, caches, telemetry."""
