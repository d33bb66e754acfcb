"""The real Elasticsearch node of the tests."""
