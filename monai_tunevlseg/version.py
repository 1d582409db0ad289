"""The version of the package, which the feature cache and MONAI Label's app tell."""

__all__ = ["__version__"]

__version__ = "0.1.0"
