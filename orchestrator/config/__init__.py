"""Settings: read once from file, environment and credentials, checked, frozen."""
