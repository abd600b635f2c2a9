"""What has changed since the bundle was trained: events, users, items, offers."""
