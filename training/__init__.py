"""The recommender: data set, towers, re-ranker, evaluation, gate, registry. Serving reads what export.py writes."""
