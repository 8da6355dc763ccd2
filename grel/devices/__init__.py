"""Devices: kinds of accelerators, as a machine without them can know them, and CPUs' memory."""
