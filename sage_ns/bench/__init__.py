"""``sage-bench``: train and evaluate named rows on captures, and write reproducible tables."""
