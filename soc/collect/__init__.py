"""Collection: inputs, formats and the guarantees of getting each record into a store once."""
