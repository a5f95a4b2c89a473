"""Many users at once on one real runtime, with crashes, and a judge beside it."""
