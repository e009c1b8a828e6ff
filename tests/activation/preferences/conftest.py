"""The preference centre is tested in the media house of the serving tests."""

from tests.activation.serving.conftest import client, house, house_db, house_template, make_house

__all__ = ["client", "house", "house_db", "house_template", "make_house"]
