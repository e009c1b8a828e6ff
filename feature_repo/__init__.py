"""Feast: the same features offline, for training, and online, for requests."""
