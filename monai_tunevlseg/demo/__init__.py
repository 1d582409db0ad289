"""The embedded tiny base models, and the scenes and the script that trained them."""
