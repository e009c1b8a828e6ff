"""Campaigns declared as data, and the runner that sends each message once."""
