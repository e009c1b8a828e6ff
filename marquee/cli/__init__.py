"""The command line `marquee`: it imports the rooms lazily, so that `marquee --help` stays quick."""

from marquee.cli.app import app

__all__ = ["app"]
