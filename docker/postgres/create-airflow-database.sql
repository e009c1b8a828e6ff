-- Airflow's metadata lives beside the warehouse, in a database of its own.
create database airflow;
