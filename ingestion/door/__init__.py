"""The door: what an event must say, what its consent allows, and what of it is kept before it reaches raw.events."""
