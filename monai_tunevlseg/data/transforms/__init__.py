"""MONAI transforms between a datalist and the network, and between the network and the written files."""
