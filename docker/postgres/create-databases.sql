-- UTF8 whatever the image's locale: without one, PostgreSQL's default is SQL_ASCII, which keeps bytes and no text.
create database marquee encoding 'UTF8' locale 'C.UTF-8' template template0;
create database airflow encoding 'UTF8' locale 'C.UTF-8' template template0;
