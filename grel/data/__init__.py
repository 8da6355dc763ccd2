"""Documents to examples, and examples to packed batches."""
