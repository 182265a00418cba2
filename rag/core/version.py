"""The version of this source."""

VERSION = "0.1.0"
