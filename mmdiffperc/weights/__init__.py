"""All that turns files into weights: architectures, sources, names of other projects, completeness, adapters."""
