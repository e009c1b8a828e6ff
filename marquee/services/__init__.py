"""The processes of a laptop: which there are, how Airflow is set up, and who starts and stops them."""
