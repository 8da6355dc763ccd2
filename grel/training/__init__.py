"""Training: optimizer, step, logs, and the run that they make up."""
