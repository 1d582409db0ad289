"""Checks of a dataset before training: files, masks, splits and texts."""
