"""Who is who: evidence from every system becomes one profile a person, in the nightly build and live alike.

The rules are functions of PostgreSQL, in the .sql files here (schema, evidence, incoming, resolution, settling,
reading, suspicion: in this order). This package puts the declared rules into force, asks the functions, and lets people
review what they hold back and what looks wrong. See docs/identity.md.
"""
