"""Segments: declared conditions over the profile, checked here, previewed, and answered live for new events.

The file is dbt_project/models/marts/segments.yml; dbt compiles it to SQL for the nightly build. See docs/segments.md.
"""
