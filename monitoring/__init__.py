"""Monitoring: drift, quality, fairness and freshness of what the pipeline made, as verdicts and pages."""
