"""The monitoring server: broker, ingest, store, judging, decisions, rollouts, and the fleet page."""
