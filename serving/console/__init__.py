"""The console: pages on which people see and change what the engine does, over the calls of the API."""
