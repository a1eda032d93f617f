"""Images: label orders, dataset readers, decoding, preprocessing and the decoded cache."""
