"""Email: rendering, the SendGrid sender, and the local endpoint that stands in for SendGrid."""
