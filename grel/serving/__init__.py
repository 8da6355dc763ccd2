"""A trained model behind HTTP: requests in, batched on the device, records and a page out."""
