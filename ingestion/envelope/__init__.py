"""The demo envelope: seeded extracts of the systems that a media company has, simulated around real interactions."""
