"""Files: read strictly, written whole, locked, and grown so that nothing can cut them short."""
