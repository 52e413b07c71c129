"""Turns a message into mail or push: channels, templates, locale."""
