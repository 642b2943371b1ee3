"""Files written whole or not at all, strict JSON, JSON lines and text."""
