"""A target, an action, a fault and a guarantee for snapstorm, each in a file of its own."""
