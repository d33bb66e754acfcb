"""Tests of soc.detect.releases."""
