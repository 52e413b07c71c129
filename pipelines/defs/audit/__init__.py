"""Once a day the log proves, by other means than those that wrote it, that everything follows from it."""
