"""From scores to target weights, and from target weights to the trades that reach them."""
