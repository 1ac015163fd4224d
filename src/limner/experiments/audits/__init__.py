"""Experiments of audits."""
