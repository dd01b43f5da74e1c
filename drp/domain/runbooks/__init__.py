"""Runbooks: scenarios that people read and drp carries out, from the same file."""
