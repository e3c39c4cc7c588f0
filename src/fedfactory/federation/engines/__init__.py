"""Engines that carry rounds between server and clients."""
