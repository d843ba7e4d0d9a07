"""What is believed about the head: a signed distance field in canonical space, and how it is encoded and trained."""
