"""Convolutions in one to three dimensions, and pooling."""
