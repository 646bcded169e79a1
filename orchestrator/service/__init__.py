"""What the host gives a service: a lock, credentials, systemd's socket, clocks and space."""
