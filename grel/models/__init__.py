"""Networks and losses: arrays in, arrays out."""
