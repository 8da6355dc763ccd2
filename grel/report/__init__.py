"""The report: one HTML file that shows what a run learned, where it fails and how it wrote."""
