"""Signed distance field of the head in canonical space: encoding, network, pre-training and volume rendering."""
