"""Readers of raw formats, grouped by how a format says where an entity stands."""
