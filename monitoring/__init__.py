"""Monitoring: drift, quality, fairness, freshness and identity of what the pipeline made, as verdicts and pages."""
