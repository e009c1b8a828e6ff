"""The recommender: data set, towers, re-ranker, evaluation, gate and registry. Serving reads only what export.py writes."""
