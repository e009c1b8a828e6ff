"""Recommendations at request time: model artefacts, the champion, the two-stage recommender and its HTTP app."""
