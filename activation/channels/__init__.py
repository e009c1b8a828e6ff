"""Channels through which campaigns reach subscribers; each channel is one folder with the same three parts."""
