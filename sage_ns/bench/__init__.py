"""``sage-bench``: named rows, trained and evaluated on captures, in one table that anyone can make again."""
