"""The self-test of drills: a small lab of its own, in which things are really broken, and drills that must notice."""
