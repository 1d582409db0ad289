"""Transforms between a datalist and the network, and between the network and the files that are written."""
