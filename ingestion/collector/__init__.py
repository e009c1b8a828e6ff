"""The event collector: Segment's HTTP tracking API, answered once the events are on disk."""
