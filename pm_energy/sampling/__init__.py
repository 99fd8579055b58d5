"""Drivers: what a user calls to sample a model along a path."""
