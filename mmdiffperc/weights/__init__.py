"""One way in for weights: architectures, sources, names of other projects, completeness and adapters."""
