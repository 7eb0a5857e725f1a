"""The HTTP edge: limits, keys, decoding, one error form, and the document of all calls."""
