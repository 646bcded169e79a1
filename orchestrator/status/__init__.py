"""What the daemon shows and what it may be told: one HTTP socket, answered from memory."""
