"""What survives a restart; free of torch."""
