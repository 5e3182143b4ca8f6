"""What every evaluation stands on: suites, one way to embed, statistics, provenance, one result cache, one renderer."""
