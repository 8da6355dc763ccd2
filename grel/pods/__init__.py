"""Processes of a pod that watch over each other, and tell in one line when one is lost."""
