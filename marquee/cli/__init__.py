"""The command line `marquee`: it imports the rooms lazily, so that `marquee --help` stays quick."""
